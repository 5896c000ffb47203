//! JSON messages: one reading an object, and back.
//!
//! **Out** ([`Encoder`]): the columns of a table by their names, in their order. Numbers with declared digits
//! have these digits, as in the file; others are the shortest text that reads back to the same value. Times
//! are ISO 8601: with `Z` where the zone is known, without where it is not. What is missing is `null`.
//!
//! **In** ([`Decoder`]): flat objects, or arrays whose values stand in the schema's order. A message is cut
//! into its values, and the values are decoded by the loops that read files; so numbers as text,
//! layouts of times, zones, marks for "no value", valid ranges and rejects are those of files. Keys are
//! compared as column names are (without case, spaces, underscores; `names` of a column are other names
//! for it); keys that no column has are passed over; a missing key is a missing value.
//!
//! **Who** a message is of is never passed over. Under a declared schema without a sensor column the key `sensor_id`
//! names the sensor, whatever the first messages had; one that names none is of the schema's constant, as arrays are,
//! whose values stand in the order of the declared columns. A schema found in the first messages takes its sensor from a
//! key that is named as one, also where its values do not come again yet. Where they name none, a later message that does is
//! unread: under the constant it would be mixed with the others.

mod decode;
mod encode;
mod scan;

pub use decode::{Decoded, Decoder, Unread};
pub use encode::Encoder;
pub use scan::looks_sound;
