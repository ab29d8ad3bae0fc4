//! How an S3 server is reached, and the client made of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aquifer_runtime::config::Secret;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::web_identity::{RenewRefused, Sessions, WebIdentity};
use crate::error::StorageError;
use crate::key::ObjectKey;

/// Requests that failed are sent again once by the client: enough for a connection
/// that the server had closed. Everything else is for the caller to decide.
const ATTEMPTS: u32 = 2;

/// S3's smallest part, but for the last.
pub(super) const LEAST_PART_MIB: u64 = 5;

/// Shortest and longest life of keys that STS gives for a token, in seconds.
const LEAST_SESSION: u32 = 900;
const MOST_SESSION: u32 = 12 * 3600;

/// S3's largest part.
const MOST_PART_MIB: u64 = 5 * 1024;

/// When the payload of a request is not signed. Its crc64nvme, which is, then stands
/// for it. Signing costs a SHA-256 of all bytes: as much as the rest of an upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnsignedPayload {
    /// Where nobody can alter it on its way: over TLS, and within this machine.
    #[default]
    WhereSafe,
    /// Over any link: one who can alter bytes on the way can make them fit a CRC.
    Always,
    /// Nowhere: for servers that do not take it.
    Never,
}

/// An S3 server and a bucket on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3Config {
    /// Name of this storage element in the catalogue and in policies.
    pub element: String,
    /// URL of the server, such as `https://s3.example.org`.
    pub endpoint: String,
    /// Region to sign for. Many servers take any.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Put before every key, such as `raw`. Empty for none.
    pub prefix: String,
    /// Access key.
    pub access_key: Secret,
    /// Secret key.
    pub secret_key: Secret,
    /// Keys for a token, in place of `access-key` and `secret-key`.
    pub web_identity: WebIdentity,
    /// Whether the bucket goes into the path (most servers) or the host name (AWS).
    pub path_style: bool,
    /// When the payload of a request is not signed, which halves the cost of an upload:
    /// over TLS and within this machine, always, or never. A server whose probe shows
    /// that it does not take it gets signed ones.
    pub unsigned_payload: UnsignedPayload,
    /// Whether conditional writes are believed in where the probe sees them hold. Where
    /// not, or where they do not hold, two writers of one key could overwrite each other:
    /// keys then end in a number of their writer's own (`run00042.mid.g1790000000000000`).
    pub trust_conditional_writes: bool,
    /// File with PEM certificates that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Size of a part in MiB, 5 to 5120. Files of up to one part are stored in one
    /// request; parts grow by themselves for files beyond 9000 of them.
    pub part_size_mib: u64,
    /// How many parts are on their way at a time, over all files. Memory is bounded
    /// by one more than this times the part size.
    pub parts_in_flight: usize,
    /// Longest time to open a connection, in seconds.
    pub connect_timeout_secs: u64,
    /// Longest time for a request without payload, in seconds.
    pub request_timeout_secs: u64,
    /// Slowest link in KiB/s: a request with payload gets the time it needs at this
    /// rate on top.
    pub slowest_rate_kib: u64,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            element: "S3".to_owned(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: String::new(),
            access_key: Secret::default(),
            secret_key: Secret::default(),
            web_identity: WebIdentity::default(),
            path_style: true,
            unsigned_payload: UnsignedPayload::default(),
            trust_conditional_writes: true,
            ca_file: None,
            part_size_mib: 16,
            parts_in_flight: 4,
            connect_timeout_secs: 5,
            request_timeout_secs: 60,
            slowest_rate_kib: 64,
        }
    }
}

impl S3Config {
    /// Where it is, for other programs: `s3://BUCKET`, or `s3://BUCKET/PREFIX`.
    pub fn url(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    /// Another bucket of the same servers, which has no prefix that we know of; the
    /// configured one as it is.
    #[must_use]
    pub fn at_bucket(&self, bucket: &str) -> Self {
        if bucket == self.bucket {
            return self.clone();
        }
        Self {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            ..self.clone()
        }
    }

    /// Says what cannot work, before anything is tried.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let endpoint = url::Url::parse(&self.endpoint);
        let scheme_is_http = endpoint.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        let prefix_is_key = self.prefix.is_empty() || self.prefix.parse::<ObjectKey>().is_ok();
        let what = if !scheme_is_http {
            format!("endpoint `{}` is not an http or https URL", self.endpoint)
        } else if self.bucket.is_empty() || self.bucket.contains('/') {
            format!("bucket `{}` is not a bucket name", self.bucket)
        } else if !prefix_is_key {
            format!("prefix `{}` is not a relative path", self.prefix)
        } else if !(LEAST_PART_MIB..=MOST_PART_MIB).contains(&self.part_size_mib) {
            format!(
                "part-size-mib is {}, not {LEAST_PART_MIB} to {MOST_PART_MIB}",
                self.part_size_mib
            )
        } else if let Some(what) = self.web_identity_is_wrong() {
            what
        } else if self.parts_in_flight == 0 || self.slowest_rate_kib == 0 {
            "parts-in-flight and slowest-rate-kib must be at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(self.wrong(what))
    }

    fn web_identity_is_wrong(&self) -> Option<String> {
        let WebIdentity {
            token_file,
            role_arn,
            endpoint,
            session_secs,
        } = &self.web_identity;
        if token_file.is_none() {
            let other = [role_arn, endpoint]
                .into_iter()
                .any(|text| !text.is_empty());
            return other.then(|| "web-identity needs a token-file".to_owned());
        }
        if role_arn.is_empty() {
            Some("web-identity needs a role-arn".to_owned())
        } else if !(LEAST_SESSION..=MOST_SESSION).contains(session_secs) {
            Some(format!(
                "web-identity.session-secs is {session_secs}, not {LEAST_SESSION} to {MOST_SESSION}"
            ))
        } else if !endpoint.is_empty() && url::Url::parse(endpoint).is_err() {
            Some(format!("web-identity.endpoint `{endpoint}` is not a URL"))
        } else {
            None
        }
    }

    fn wrong(&self, what: String) -> StorageError {
        StorageError::Config {
            element: self.element.clone(),
            what,
        }
    }

    /// Whether payloads go unsigned, as configured and as the link is.
    pub(super) fn leaves_payload_unsigned(&self) -> bool {
        match self.unsigned_payload {
            UnsignedPayload::Always => true,
            UnsignedPayload::Never => false,
            UnsignedPayload::WhereSafe => {
                url::Url::parse(&self.endpoint).is_ok_and(|url| match url.host() {
                    _ if url.scheme() == "https" => true,
                    Some(url::Host::Ipv4(address)) => address.is_loopback(),
                    Some(url::Host::Ipv6(address)) => address.is_loopback(),
                    Some(url::Host::Domain(name)) => name == "localhost",
                    None => false,
                })
            }
        }
    }

    /// Longest time for a request that carries `bytes`.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        let payload = bytes / (self.slowest_rate_kib * 1024);
        Duration::from_secs(self.request_timeout_secs + payload)
    }

    /// The client for this server. Requests carry only the checksums that we give
    /// them: the ones that clients add by themselves cost time and break servers that
    /// do not know them.
    pub(super) fn client(&self) -> Result<Client, StorageError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(self.connect_timeout_secs))
            .operation_attempt_timeout(self.time_for(0))
            .build();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(
                tls::rustls_provider::CryptoMode::Ring,
            ))
            .tls_context(self.tls_context()?)
            .build_https();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .force_path_style(self.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts.clone())
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .grace_period(Duration::from_secs(self.request_timeout_secs))
                    .build(),
            )
            .http_client(http.clone());
        let config = if let Some(token_file) = &self.web_identity.token_file {
            let sts = self.token_service(http, timeouts);
            let name = format!("aquifer-{}", self.element);
            let identity = self.web_identity.clone();
            let sessions = Sessions::new(identity, token_file.clone(), name, sts);
            let sessions = Arc::new(sessions);
            let provider: Arc<dyn ProvideCredentials> = Arc::<Sessions>::clone(&sessions);
            config
                .credentials_provider(SharedCredentialsProvider::new(provider))
                // They know best when to renew.
                .identity_cache(IdentityCache::no_cache())
                .retry_classifier(RenewRefused(sessions))
        } else {
            let (key, secret) = (self.access_key.reveal(), self.secret_key.reveal());
            config.credentials_provider(Credentials::from_keys(key, secret, None))
        };
        Ok(Client::from_conf(config.build()))
    }

    /// The client for the service that gives keys for tokens. Its requests are not
    /// signed: the token is the proof.
    fn token_service(
        &self,
        http: SharedHttpClient,
        timeouts: TimeoutConfig,
    ) -> aws_sdk_sts::Client {
        let endpoint = match self.web_identity.endpoint.as_str() {
            "" => &self.endpoint,
            own => own,
        };
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .http_client(http);
        aws_sdk_sts::Client::from_conf(config.build())
    }

    fn tls_context(&self) -> Result<tls::TlsContext, StorageError> {
        let system = rustls_native_certs::load_native_certs().certs;
        tls::TlsContext::builder()
            .with_trust_store(self.trusted(!system.is_empty())?)
            .build()
            .map_err(|error| self.wrong(format!("TLS: {error}")))
    }

    /// Whom to trust. The client takes what it is given and panics if it cannot: a host
    /// without certificates, and a file that holds none, are found here.
    fn trusted(&self, system_has_some: bool) -> Result<tls::TrustStore, StorageError> {
        let trusted = tls::TrustStore::empty().with_native_roots(system_has_some);
        let Some(path) = &self.ca_file else {
            let endpoints = [&self.endpoint, &self.web_identity.endpoint];
            let needed = endpoints.iter().any(|url| url.starts_with("https:"));
            if needed && !system_has_some {
                let what = "this host trusts no certificate; hint: ca-certificates, or ca-file";
                return Err(self.wrong(what.to_owned()));
            }
            return Ok(trusted);
        };
        let wrong =
            |why: &dyn std::fmt::Display| self.wrong(format!("ca-file {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        let mut found = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            found.add(certificate).map_err(|error| wrong(&error))?;
        }
        if found.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
        Ok(trusted.with_pem_certificate(pem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable() -> S3Config {
        S3Config {
            endpoint: "http://127.0.0.1:1".to_owned(),
            bucket: "raw".to_owned(),
            secret_key: "do-not-tell".to_owned().into(),
            ..S3Config::default()
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_value() {
        usable().check().unwrap();
        let mut broken = [usable(), usable(), usable(), usable(), usable()];
        broken[0].endpoint = "ftp://x".to_owned();
        broken[1].bucket = "a/b".to_owned();
        broken[2].prefix = "../up".to_owned();
        broken[3].part_size_mib = 4;
        broken[4].parts_in_flight = 0;
        for config in broken {
            config.check().unwrap_err();
        }
    }

    /// A host without certificates speaks plain HTTP, and HTTPS to whom its file names.
    #[test]
    fn certificates_that_are_missing_or_none_are_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let with = |endpoint: &str, pem: Option<&str>| S3Config {
            endpoint: endpoint.to_owned(),
            ca_file: pem.map(|pem| {
                let path = folder.path().join("ca.pem");
                std::fs::write(&path, pem).unwrap();
                path
            }),
            ..usable()
        };
        with("http://s3", None).trusted(false).unwrap();
        with("https://s3", None).trusted(true).unwrap();
        with("https://s3", None).trusted(false).unwrap_err();
        for pem in [
            "",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let error = with("https://s3", Some(pem)).trusted(true).unwrap_err();
            assert!(error.to_string().contains("ca-file"), "{error}");
        }
    }

    #[test]
    fn payloads_are_signed_where_they_could_be_altered_on_the_way() {
        use UnsignedPayload::{Always, Never, WhereSafe};
        for (endpoint, unsigned_payload, unsigned) in [
            ("https://s3.example.org", WhereSafe, true),
            ("http://s3.example.org", WhereSafe, false),
            ("http://10.0.0.1:9000", WhereSafe, false),
            ("http://127.0.0.1:9000", WhereSafe, true),
            ("http://[::1]:9000", WhereSafe, true),
            ("http://localhost:9000", WhereSafe, true),
            ("http://s3.example.org", Always, true),
            ("https://s3.example.org", Never, false),
        ] {
            let config = S3Config {
                endpoint: endpoint.to_owned(),
                unsigned_payload,
                ..usable()
            };
            assert_eq!(config.leaves_payload_unsigned(), unsigned, "{endpoint}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let config = usable();
        assert!(!format!("{config:?}").contains("do-not-tell"));
        let json = serde_json::to_string(&config).unwrap();
        assert!(!json.contains("do-not-tell"));
    }
}
