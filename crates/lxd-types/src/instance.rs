//! What kind of thing an instance is.

use std::fmt;
use std::str::FromStr;

use crate::words::ValueError;

/// Container or virtual machine.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum InstanceKind {
    /// A system container.
    #[default]
    Container,
    /// A virtual machine.
    VirtualMachine,
}

impl InstanceKind {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::VirtualMachine => "virtual-machine",
        }
    }

    /// The number in the database.
    pub fn id(self) -> i64 {
        match self {
            Self::Container => 0,
            Self::VirtualMachine => 1,
        }
    }

    /// The kind with this number in the database.
    pub fn from_id(id: i64) -> Option<Self> {
        match id {
            0 => Some(Self::Container),
            1 => Some(Self::VirtualMachine),
            _ => None,
        }
    }
}

impl FromStr for InstanceKind {
    type Err = ValueError;

    /// Reads the API's name; the empty one means container.
    fn from_str(name: &str) -> Result<Self, ValueError> {
        match name {
            "" | "container" => Ok(Self::Container),
            "virtual-machine" => Ok(Self::VirtualMachine),
            _ => Err(ValueError::new("Invalid instance type")),
        }
    }
}

impl fmt::Display for InstanceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
