//! CPUs: sets of CPU numbers, `limits.cpu` and `limits.cpu.allowance` (manual 3.2.2, "CPU limits").

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::words::ValueError;

/// The highest CPU number that a set may name; what Linux can be built for.
pub const MAX_CPU: u32 = 8191;

/// A set of CPU numbers in the kernel's list form, such as `0-3,5`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CpuSet(BTreeSet<u32>);

/// The value of `limits.cpu`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CpuLimit {
    /// So many CPUs, whichever the balancing finds; 0 means no limit.
    Count(u32),
    /// These CPUs and no others.
    Pinned(CpuSet),
}

/// The value of `limits.cpu.allowance`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CpuAllowance {
    /// A share under load, in per cent.
    Percent(u32),
    /// A hard limit: so many milliseconds of CPU time in each period of so many milliseconds.
    Time {
        /// CPU time of a period, in milliseconds.
        quota: u32,
        /// Length of a period, in milliseconds; never zero.
        period: u32,
    },
}

impl CpuSet {
    /// The numbers, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many CPUs there are in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no CPU is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set has this CPU.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// The CPUs that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuSet {
    type Err = ValueError;

    /// Reads a list of numbers and ranges; a CPU may stand only once in it.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut set = BTreeSet::new();
        for chunk in text.split(',') {
            let (first, last) = chunk.split_once('-').unwrap_or((chunk, chunk));
            let (first, last) = (number(first, text)?, number(last, text)?);
            if last < first {
                return Err(ValueError::new("Invalid CPU limit syntax"));
            }
            for cpu in first..=last {
                if !set.insert(cpu) {
                    return Err(ValueError::new("Cannot define CPU multiple times"));
                }
            }
        }
        Ok(Self(set))
    }
}

fn number(digits: &str, whole: &str) -> Result<u32, ValueError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::new("Invalid CPU limit syntax"));
    }
    digits
        .parse()
        .ok()
        .filter(|cpu| *cpu <= MAX_CPU)
        .ok_or_else(|| ValueError(format!("Invalid cpuset value: {whole}")))
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for cpu in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        for (index, (first, last)) in ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for CpuLimit {
    type Err = ValueError;

    /// A single number is a count; anything else is a set.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.contains([',', '-']) {
            true => text.parse().map(Self::Pinned),
            false => number(text, text).map(Self::Count),
        }
    }
}

impl FromStr for CpuAllowance {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(percent) = text.strip_suffix('%') {
            return Ok(Self::Percent(natural(percent)?));
        }
        let Some((quota, period)) = text.split_once('/') else {
            return Err(ValueError(format!("Invalid allowance: {text}")));
        };
        let quota = natural(quota.strip_suffix("ms").unwrap_or(quota))?;
        let period = natural(period.strip_suffix("ms").unwrap_or(period))?;
        match period {
            0 => Err(ValueError(format!("Invalid allowance: {text}"))),
            _ => Ok(Self::Time { quota, period }),
        }
    }
}

fn natural(digits: &str) -> Result<u32, ValueError> {
    digits.parse().map_err(|_| ValueError(format!("strconv.Atoi: parsing {digits:?}: invalid syntax")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_a_count_and_a_range_a_set() {
        assert_eq!("4".parse(), Ok(CpuLimit::Count(4)));
        assert_eq!("1-1".parse(), Ok(CpuLimit::Pinned(CpuSet::from_iter([1]))));
        assert_eq!("0-2,5".parse(), Ok(CpuLimit::Pinned(CpuSet::from_iter([0, 1, 2, 5]))));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, reason) in [
            ("many", "Invalid CPU limit syntax"),
            ("", "Invalid CPU limit syntax"),
            (",", "Invalid CPU limit syntax"),
            ("-1", "Invalid CPU limit syntax"),
            ("0-1-2", "Invalid CPU limit syntax"),
            ("1-0", "Invalid CPU limit syntax"),
            (" 1", "Invalid CPU limit syntax"),
            ("0-1,1", "Cannot define CPU multiple times"),
            ("99999999999999999999", "Invalid cpuset value: 99999999999999999999"),
            ("0-4294967295", "Invalid cpuset value: 0-4294967295"),
        ] {
            assert_eq!(text.parse::<CpuLimit>().unwrap_err().0, reason, "{text}");
        }
    }

    #[test]
    fn allowances() {
        assert_eq!("50%".parse(), Ok(CpuAllowance::Percent(50)));
        assert_eq!("25ms/100ms".parse(), Ok(CpuAllowance::Time { quota: 25, period: 100 }));
        assert_eq!("100".parse::<CpuAllowance>().unwrap_err().0, "Invalid allowance: 100");
        assert_eq!(
            "a%".parse::<CpuAllowance>().unwrap_err().0,
            "strconv.Atoi: parsing \"a\": invalid syntax"
        );
        for bad in ["25ms/0ms", "-1ms/5ms", "1s/2s", "25ms/100ms/5ms", "ms/ms", "-1%"] {
            assert!(bad.parse::<CpuAllowance>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_set_reads_back(cpus in prop::collection::btree_set(0u32..=MAX_CPU, 1..40)) {
            let set = CpuSet(cpus);
            prop_assert_eq!(set.to_string().parse::<CpuSet>().unwrap(), set);
        }

        #[test]
        fn no_text_panics(text in "[0-9,%/ms -]*") {
            let _ = text.parse::<CpuLimit>();
            let _ = text.parse::<CpuAllowance>();
        }
    }
}
