//! Architectures (manual 3.3.1): names, numbers of the database, personalities.

use std::fmt;
use std::str::FromStr;

use crate::words::ValueError;

macro_rules! architectures {
    ($($variant:ident, $id:literal, $name:literal, [$($alias:literal),*];)*) => {
        /// A kernel architecture.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Architecture {
            $(#[doc = concat!("`", $name, "`")] $variant = $id,)*
        }

        impl Architecture {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name, as the kernel says it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The architecture with this number in the database.
            pub fn from_id(id: i64) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The architecture of this name or of a common other name of it, such as Debian's `amd64`.
            pub fn from_alias(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $alias)* => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

architectures! {
    I686, 1, "i686", ["i386", "i586", "386", "x86", "generic_32"];
    X86_64, 2, "x86_64", ["amd64", "generic_64"];
    Armv7l, 3, "armv7l", ["armv7", "armhf", "armhfp", "armv7a_hardfp", "armv7_vfpv3_hardfp"];
    Aarch64, 4, "aarch64", ["arm64", "arm64_generic"];
    Ppc, 5, "ppc", ["powerpc"];
    Ppc64, 6, "ppc64", ["powerpc64"];
    Ppc64le, 7, "ppc64le", ["ppc64el"];
    S390x, 8, "s390x", [];
    Mips, 9, "mips", [];
    Mips64, 10, "mips64", [];
    Riscv32, 11, "riscv32", [];
    Riscv64, 12, "riscv64", [];
    Armv6l, 13, "armv6l", ["armel", "arm"];
    Armv8l, 14, "armv8l", [];
}

impl Architecture {
    /// The number in the database.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// The architectures whose programs a kernel of this one runs besides its own.
    pub fn personalities(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::I686],
            Self::Aarch64 => &[Self::Armv6l, Self::Armv7l, Self::Armv8l],
            Self::Armv8l => &[Self::Armv6l, Self::Armv7l],
            Self::Armv7l => &[Self::Armv6l],
            Self::Ppc64 => &[Self::Ppc],
            Self::Mips64 => &[Self::Mips],
            _ => &[],
        }
    }

    /// The architecture that this program was built for, which is that of the kernel below it.
    pub fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => Some(Self::Ppc64le),
            "arm" => Some(Self::Armv7l),
            name => Self::from_alias(name),
        }
    }
}

impl FromStr for Architecture {
    type Err = ValueError;

    fn from_str(name: &str) -> Result<Self, ValueError> {
        let found = Self::ALL.iter().find(|architecture| architecture.name() == name);
        found.copied().ok_or_else(|| ValueError(format!("Architecture isn't supported: {name}")))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_manual() {
        assert_eq!("x86_64".parse(), Ok(Architecture::X86_64));
        assert_eq!(Architecture::from_id(12), Some(Architecture::Riscv64));
        assert_eq!(Architecture::from_alias("amd64"), Some(Architecture::X86_64));
        assert!("amd64".parse::<Architecture>().is_err());
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::from_id(architecture.id()), Some(*architecture));
            assert_eq!(architecture.to_string().parse(), Ok(*architecture));
        }
        assert!(Architecture::native().is_some());
    }
}
