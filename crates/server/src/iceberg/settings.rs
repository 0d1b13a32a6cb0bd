use std::{collections::BTreeMap, fmt, time::Duration};

/// Who may use the Iceberg REST catalog, and what it tells of the warehouse.
#[derive(Clone)]
pub struct IcebergSettings {
    /// Clients that may ask for tokens. Where there are any, every request needs a token.
    pub clients: Vec<IcebergClient>,
    /// Whether anybody may do anything without a token. Only looked at where there are no clients.
    pub open: bool,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// How engines reach the warehouse, under the names of Iceberg's file IO (`s3.endpoint`, `client.region`, …). No secrets.
    pub storage: BTreeMap<String, String>,
    /// Credentials of the warehouse that engines are given; empty where they bring their own.
    pub credentials: BTreeMap<String, String>,
}

impl fmt::Debug for IcebergSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcebergSettings")
            .field("clients", &self.clients)
            .field("open", &self.open)
            .field("storage", &self.storage)
            .field("vends", &!self.credentials.is_empty())
            .finish_non_exhaustive()
    }
}

/// A program that may ask for tokens.
#[derive(Clone)]
pub struct IcebergClient {
    /// Its name.
    pub id: String,
    /// Its password, which is never shown.
    pub secret: String,
}

impl fmt::Debug for IcebergClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IcebergClient").field("id", &self.id).finish_non_exhaustive()
    }
}
