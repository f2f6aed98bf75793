//! Numbers of architectures in the database (manual 3.3.1).

/// Number and kernel name, in the order of the manual.
const NAMES: &[(i64, &str)] = &[
    (1, "i686"),
    (2, "x86_64"),
    (3, "armv7l"),
    (4, "aarch64"),
    (5, "ppc"),
    (6, "ppc64"),
    (7, "ppc64le"),
    (8, "s390x"),
    (9, "mips"),
    (10, "mips64"),
    (11, "riscv32"),
    (12, "riscv64"),
];

/// The name of an architecture's number; `unknown` for a number that the manual does not have.
pub fn name(id: i64) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name)
}

/// The number of an architecture's name.
pub fn id(name: &str) -> Option<i64> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
}

/// The number of the architecture that this program was built for.
pub(crate) fn own() -> i64 {
    let kernel = match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7l",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc",
        "s390x" => "s390x",
        other => other,
    };
    id(kernel).unwrap_or(2)
}
