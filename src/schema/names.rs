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

/// Words that may stand behind one of a sensor without changing what it names.
const KEY_WORDS: [&str; 8] = ["id", "no", "nr", "number", "name", "code", "key", "uuid"];

/// How much of a name says that its column tells sensors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SensorName {
    /// `meter_id`, `Station name`: nothing else can be meant.
    Key,
    /// `meter`, `house`: which one it is, or what it shows.
    Bare,
}

/// What a name as a whole says of sensors: no `id`, `unit` or `serial no` does, and no `device_status`.
pub fn sensor_name(name: &str) -> Option<SensorName> {
    const VAGUE: [&str; 4] = ["id", "unit", "tag", "serial"];
    let strong = |w: &str| SENSOR_WORDS.contains(&w) && !VAGUE.contains(&w);
    let words = words(name);
    let is_key_word = |w: &&String| KEY_WORDS.contains(&w.as_str());
    let behind = words.iter().rev().take_while(is_key_word).count();
    let (front, behind) = words.split_at(words.len() - behind);
    let last = front.last()?;
    let joined = KEY_WORDS
        .iter()
        .any(|key| last.strip_suffix(key).is_some_and(strong));
    if joined || last == "lclid" || (strong(last) && !behind.is_empty()) {
        return Some(SensorName::Key);
    }
    front.iter().all(|w| strong(w)).then_some(SensorName::Bare)
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
    fn names_that_say_sensor_as_a_whole() {
        use SensorName::{Bare, Key};
        for name in [
            "sensor_id",
            "SensorId",
            "Meter No",
            "meterid",
            "station name",
            "smart_meter_id",
            "LCLid",
            "device-uuid",
        ] {
            assert_eq!(sensor_name(name), Some(Key), "{name}");
        }
        for name in ["meter", "House", "household", "sensor node"] {
            assert_eq!(sensor_name(name), Some(Bare), "{name}");
        }
        for name in [
            "id",
            "unit",
            "tag_id",
            "Serial No",
            "row_id",
            "device_status",
            "meter_kw",
            "name",
            "device message id",
            "",
        ] {
            assert_eq!(sensor_name(name), None, "{name}");
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
