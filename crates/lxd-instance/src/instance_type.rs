//! Instance types: names that stand for limits (manual 3.2.2, "Instance types").
//!
//! `c2-m4` is two CPUs and 4 GB of memory; either part may be missing. `t2.micro` and `aws:t2.micro` name the type of a
//! cloud.

use lxd_types::{Config, Error, Result};

/// Name, CPUs and memory in GB.
type Shape = (&'static str, f32, f32);

/// The types of clouds.
const CLOUDS: &[(&str, &[Shape])] = &[(
    "aws",
    &[
        ("t2.nano", 1.0, 0.5),
        ("t2.micro", 1.0, 1.0),
        ("t2.small", 1.0, 2.0),
        ("t2.medium", 2.0, 4.0),
        ("t2.large", 2.0, 8.0),
        ("t2.xlarge", 4.0, 16.0),
        ("t2.2xlarge", 8.0, 32.0),
        ("t3.nano", 2.0, 0.5),
        ("t3.micro", 2.0, 1.0),
        ("t3.small", 2.0, 2.0),
        ("t3.medium", 2.0, 4.0),
        ("t3.large", 2.0, 8.0),
        ("t3.xlarge", 4.0, 16.0),
        ("t3.2xlarge", 8.0, 32.0),
        ("m5.large", 2.0, 8.0),
        ("m5.xlarge", 4.0, 16.0),
        ("m5.2xlarge", 8.0, 32.0),
        ("m5.4xlarge", 16.0, 64.0),
        ("c5.large", 2.0, 4.0),
        ("c5.xlarge", 4.0, 8.0),
        ("c5.2xlarge", 8.0, 16.0),
        ("c5.4xlarge", 16.0, 32.0),
    ],
)];

/// The limits that a type stands for.
///
/// # Errors
/// `Provided instance type doesn't exist: NAME`, `Bad custom instance type: NAME`
pub fn limits(name: &str) -> Result<Config> {
    let (cpu, memory) = match named(name) {
        Some(known) => known,
        None => custom(name)?,
    };
    let mut limits = Config::new();
    if cpu > 0.0 {
        let whole = cpu.ceil();
        limits.insert("limits.cpu".to_owned(), format!("{whole:.0}"));
        if whole > cpu {
            limits
                .insert("limits.cpu.allowance".to_owned(), format!("{:.0}%", (100.0 * cpu / whole).floor()));
        }
    }
    if memory > 0.0 {
        limits.insert("limits.memory".to_owned(), format!("{:.0}MB", (memory * 1024.0).floor()));
    }
    Ok(limits)
}

fn named(name: &str) -> Option<(f32, f32)> {
    let (cloud, name) = name.split_once(':').map_or((None, name), |(cloud, name)| (Some(cloud), name));
    let types = CLOUDS.iter().filter(|(known, _)| cloud.is_none_or(|cloud| cloud == *known));
    let found = types.flat_map(|(_, types)| types.iter()).find(|(known, ..)| *known == name);
    found.map(|(_, cpu, memory)| (*cpu, *memory))
}

fn custom(name: &str) -> Result<(f32, f32)> {
    let unknown = || Error::bad_request(format!("Provided instance type doesn't exist: {name}"));
    let bad = || Error::bad_request(format!("Bad custom instance type: {name}"));
    let (mut cpu, mut memory) = (0.0, 0.0);
    for part in name.split('-') {
        let (place, number) = match part.split_at_checked(1) {
            Some(("c", number)) => (&mut cpu, number),
            Some(("m", number)) => (&mut memory, number),
            _ => return Err(unknown()),
        };
        if number.is_empty() {
            return Err(unknown());
        }
        let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        *place = number.parse().ok().filter(|_| digits).ok_or_else(bad)?;
    }
    Ok((cpu, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> String {
        let limits = limits(name).unwrap();
        limits.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn types_stand_for_limits() {
        assert_eq!(text("c1-m1"), "limits.cpu=1 limits.memory=1024MB");
        assert_eq!(text("t2.micro"), text("c1-m1"));
        assert_eq!(text("aws:t2.micro"), text("c1-m1"));
        assert_eq!(text("c4-m0.1"), "limits.cpu=4 limits.memory=102MB");
        assert_eq!(text("m2"), "limits.memory=2048MB");
        assert_eq!(text("c0-m1"), "limits.memory=1024MB");
        assert_eq!(text("c1.5"), "limits.cpu=2 limits.cpu.allowance=75%");
    }

    #[test]
    fn refusals_are_those_of_servers() {
        for name in ["nosuch", "C1-M1", "c-m", "c1-", "c1-m1-x", "azure:t2.micro", "c-1", ""] {
            let error = limits(name).unwrap_err().chain();
            assert_eq!(error, format!("Provided instance type doesn't exist: {name}"));
        }
        assert_eq!(limits("c1-mx").unwrap_err().chain(), "Bad custom instance type: c1-mx");
    }
}
