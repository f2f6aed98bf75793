//! Instance types: names that stand for limits (manual 3.2.2, "Instance types").
//!
//! `c2-m4` is two CPUs and 4 GB of memory; either part may be missing. `t2.micro` and `aws:t2.micro` name the type of a
//! cloud.

use lxd_types::{Config, Error, Result};

/// The types of clouds: lines of cloud, name, CPUs and memory in GB. Origin and date are told there.
const CLOUDS: &str = include_str!("instance_types.tsv");

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
    CLOUDS.lines().find_map(|line| {
        let mut fields = line.split('\t');
        let matches = cloud.is_none_or(|cloud| Some(cloud) == line.split('\t').next());
        fields.next();
        (matches && fields.next() == Some(name)).then_some(())?;
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
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
    fn the_table_is_whole() {
        let mut seen = std::collections::BTreeSet::new();
        for line in CLOUDS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), 4, "{line}");
            let name = format!("{}:{}", fields[0], fields[1]);
            assert!(text(&name).contains("limits.cpu=") && text(&name).contains("limits.memory="), "{name}");
            assert!(seen.insert(name), "{line}");
        }
        for cloud in ["aws:m5.large", "gce:n1-standard-1", "azure:Standard_D2_v3"] {
            assert!(seen.contains(cloud), "{cloud}");
        }
        assert_eq!(text("f1-micro"), "limits.cpu=1 limits.cpu.allowance=20% limits.memory=614MB");
        assert_eq!(text("azure:Standard_A1"), "limits.cpu=1 limits.memory=1792MB");
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
