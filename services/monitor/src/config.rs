//! What can be configured.

use std::net::{Ipv4Addr, SocketAddr};

use aquifer_runtime::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[monitor]`: the API.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MonitorConfig {
    /// Address of the API, `/livez`, `/readyz` and `/metrics`. It speaks plain HTTP: where others can listen, put a proxy with TLS before it.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// What every request to the API brings (`Authorization: Bearer …`). Empty: the API answers nobody.
    pub token: Secret,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9303)),
            token: Secret::default(),
        }
    }
}
