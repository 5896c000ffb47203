//! Names of columns: how they are compared, and what they speak for.

/// Words in the name of a column that says which sensor a row is of.
const SENSOR_WORDS: [&str; 18] = [
    "sensor",
    "meter",
    "device",
    "id",
    "station",
    "house",
    "household",
    "node",
    "channel",
    "building",
    "customer",
    "serial",
    "mac",
    "unit",
    "plug",
    "feeder",
    "tag",
    "lclid",
];

/// A header name without case, spaces and underscores: how names are compared.
pub fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// The words of a name: `Power (kW)` is `power`, `kw`.
pub fn words(name: &str) -> Vec<String> {
    let kept = |c: char| c.is_alphanumeric() || c == '%' || c == '°';
    let parts = name.split(|c| !kept(c)).filter(|w| !w.is_empty());
    parts.map(str::to_lowercase).collect()
}

/// Whether a name says that the column tells sensors apart.
pub fn named_like_key(name: &str) -> bool {
    let plain = plain_name(name);
    words(name)
        .iter()
        .any(|w| SENSOR_WORDS.contains(&w.as_str()))
        || SENSOR_WORDS
            .iter()
            .any(|w| w.len() > 3 && plain.starts_with(w) && plain.ends_with("id"))
        || plain
            .strip_suffix("id")
            .is_some_and(|w| SENSOR_WORDS.contains(&w))
}

/// Whether a name alone, without a look at values, says that the column tells sensors apart: no `message_id` and no
/// `unit` does.
pub fn names_sensor(name: &str) -> bool {
    const VAGUE: [&str; 3] = ["id", "unit", "tag"];
    let mut words = words(name);
    words.retain(|w| !VAGUE.contains(&w.as_str()));
    plain_name(name) == SENSOR_ID || named_like_key(&words.join(" "))
}

/// The plain name of the key that names the sensor in our own messages.
pub const SENSOR_ID: &str = "sensorid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys() {
        for name in ["meter", "Sensor Id", "device_id", "LCLid", "meterid"] {
            assert!(named_like_key(name), "{name}");
        }
        for name in ["voltage", "kw", "period", "sub_metering_1"] {
            assert!(!named_like_key(name), "{name}");
        }
    }

    #[test]
    fn names_that_need_no_look_at_values() {
        for name in ["sensor_id", "SensorId", "meter", "device_id", "station id"] {
            assert!(names_sensor(name), "{name}");
        }
        for name in ["id", "message_id", "unit", "tag_id", "voltage"] {
            assert!(!names_sensor(name), "{name}");
        }
    }
}
