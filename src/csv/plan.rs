//! The plan: a schema held against the head of a file.

use crate::schema::Schema;
use crate::{Error, Kind, Result};
use arrow_schema::SchemaRef;

/// Which field of a record becomes which column of the table, decided once a file.
#[derive(Clone, Debug)]
pub struct CsvPlan {
    arrow: SchemaRef,
}

impl CsvPlan {
    /// Holds `schema` against the first bytes of a file (a byte order mark may be there or not).
    pub fn compile(schema: &Schema, head: &[u8]) -> Result<CsvPlan> {
        let _ = (schema, head);
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// The columns of the table.
    pub fn schema(&self) -> SchemaRef {
        self.arrow.clone()
    }

    /// The same plan that decodes the time column only, for a look ahead.
    pub fn only_time(&self) -> Result<CsvPlan> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }
}
