//! Presets: schemas known by name, embedded from `presets/*.toml`.

use super::columns::Schema;
use crate::{Error, Kind, Result};

/// Name and text of each preset.
const PRESETS: &[(&str, &str)] = &[("household", include_str!("../../presets/household.toml"))];

/// The names of all presets.
pub fn preset_names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// The preset of that name. Its dialect is open: `csv::resolve` finds it in the file.
pub fn preset(name: &str) -> Result<Schema> {
    let found = PRESETS.iter().find(|(n, _)| *n == name);
    let (_, text) = found.ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!(
                "there is no preset {name:?}; the presets are {}, or give a schema",
                preset_names().join(", ")
            ),
        )
    })?;
    Schema::from_toml(text)
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
