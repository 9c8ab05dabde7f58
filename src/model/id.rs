//! The ids of stored records. Each table has its own id type, so that an id cannot be used for another table.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;

/// Defines id types: a UUIDv7 each, which sorts by its time of creation.
macro_rules! id {
    ($(#[doc = $doc:literal] $visibility:vis $name:ident)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        $visibility struct $name(Uuid);

        impl $name {
            /// Returns a new id.
            pub(crate) fn generate() -> Self {
                Self(clock::new_id())
            }
        }

        /// Creates an id for tests and benchmarks.
        impl From<u128> for $name {
            fn from(number: u128) -> Self {
                Self(Uuid::from_u128(number))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

id! {
    /// The id of a machine.
    pub MachineId
    /// The id of a network interface.
    pub InterfaceId
    /// The id of a binary.
    pub BinaryId
    /// The id of an attempt.
    pub(crate) AttemptId
    /// The id of a process; it is also in the process's variable `RIGUP_PROCESS_ID`.
    pub ProcessId
}

impl ProcessId {
    /// Returns the time at which the id was generated, or `None` if it is not a UUIDv7.
    pub fn created_at(self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
    }
}

#[cfg(test)]
impl ProcessId {
    /// Returns the id as a number.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}
