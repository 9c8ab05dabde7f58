//! Environment variables with a few allowed values.

use std::ffi::OsStr;

use clap::ValueEnum;

use crate::settings::Environment;

/// Returns the value of a variable, or `None` if it is unset. The error names the variable and the allowed values.
pub(crate) fn of<T: ValueEnum>(environment: &Environment, name: &str) -> Result<Option<T>, String> {
    let parse = |value: &OsStr| {
        let value = value.to_string_lossy();
        T::from_str(&value, false).map_err(|_| {
            let allowed = T::value_variants().iter().filter_map(T::to_possible_value);
            let allowed: Vec<String> = allowed.map(|value| value.get_name().to_owned()).collect();
            format!("cannot use {name}={value}: set it to one of {}", allowed.join(", "))
        })
    };
    environment.get(name).map(parse).transpose()
}
