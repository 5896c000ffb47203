//! Presets: schemas known by name, embedded from `presets/*.toml`.

use super::columns::Schema;
use crate::{Error, Kind, Result};
use std::sync::OnceLock;

/// Name and text of each preset.
const PRESETS: &[(&str, &str)] = &[("household", include_str!("../../presets/household.toml"))];

/// The same, once they were read.
static READ: [OnceLock<Schema>; PRESETS.len()] = [const { OnceLock::new() }; PRESETS.len()];

/// The names of all presets.
pub fn preset_names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// The preset of that name. Its dialect is open: `csv::resolve` finds it in the file.
pub fn preset(name: &str) -> Result<Schema> {
    let found = PRESETS.iter().zip(&READ).find(|((n, _), _)| *n == name);
    let ((_, text), read) = found.ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!(
                "there is no preset {name:?}; the presets are {}, or give a schema",
                preset_names().join(", ")
            ),
        )
    })?;
    if let Some(schema) = read.get() {
        return Ok(schema.clone());
    }
    let schema = Schema::from_toml(text)?;
    Ok(read.get_or_init(|| schema).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads_and_bears_its_name() {
        for name in preset_names() {
            assert_eq!(preset(name).unwrap().name, name);
        }
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_names() {
        let error = preset("houshold").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.message.contains("household"), "{error}");
    }
}
