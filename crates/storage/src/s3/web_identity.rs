//! Short-lived keys for a token: `AssumeRoleWithWebIdentity` of the Security Token
//! Service (AWS STS API Reference, 2011-06-15).
//!
//! The token stands in a file that others renew, and is read each time. Keys are
//! renewed when two thirds of their life are over, by whoever needs them next, once
//! for all who wait; an upload goes on with new keys in the middle. While renewing
//! fails the old keys serve to their end. A server that refuses keys gets new ones
//! once; after that it is an outage, which the data survive.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sts::error::DisplayErrorContext;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest token that is read; they are a few KiB.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// Keys that live are tried again so much later when they could not be renewed.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

/// Keys younger than this are not renewed for a refusal that may be about rights: new
/// ones would have the same.
const YOUNG: Duration = Duration::from_mins(1);

/// How keys for the storage are got for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebIdentity {
    /// File with the token (a JSON Web Token), renewed by others. With it, `access-key`
    /// and `secret-key` are not used.
    pub token_file: Option<PathBuf>,
    /// The role to take, such as `arn:aws:iam::cygno:role/IAMaccess`.
    pub role_arn: String,
    /// URL of the Security Token Service. Empty for that of the storage.
    pub endpoint: String,
    /// Life of the keys to ask for, in seconds. Servers may give less.
    pub session_secs: u32,
}

impl Default for WebIdentity {
    fn default() -> Self {
        Self {
            token_file: None,
            role_arn: String::new(),
            endpoint: String::new(),
            session_secs: 3600,
        }
    }
}

/// Gives keys that live.
pub(super) struct Sessions {
    config: WebIdentity,
    token_file: PathBuf,
    session_name: String,
    sts: aws_sdk_sts::Client,
    current: Mutex<Option<Session>>,
    renewing: tokio::sync::Mutex<()>,
}

/// Keys with their times.
#[derive(Clone)]
struct Session {
    credentials: Credentials,
    since: SystemTime,
    renew_at: SystemTime,
    until: SystemTime,
}

impl Session {
    /// Keys that live from `since` until `until`. Several processes that began together
    /// do not renew together: the time varies by a tenth of the life.
    fn new(credentials: Credentials, since: SystemTime, until: SystemTime) -> Self {
        let life = until.duration_since(since).unwrap_or_default();
        let (_, random) = Uuid::new_v4().as_u64_pair();
        let jitter = f64::from(random as u16) / f64::from(u16::MAX) * 0.1;
        Self {
            credentials,
            since,
            renew_at: since + life.mul_f64(2.0 / 3.0 - jitter),
            until,
        }
    }
}

impl Sessions {
    pub(super) fn new(
        config: WebIdentity,
        token_file: PathBuf,
        session_name: String,
        sts: aws_sdk_sts::Client,
    ) -> Self {
        Self {
            config,
            token_file,
            session_name,
            sts,
            current: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        // The keys are replaced as one: whole at any moment.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, if they need not be renewed yet.
    fn fresh(&self) -> Option<Credentials> {
        let current = self.current();
        let session = current.as_ref()?;
        (SystemTime::now() < session.renew_at).then(|| session.credentials.clone())
    }

    async fn credentials(&self) -> provider::Result {
        if let Some(credentials) = self.fresh() {
            return Ok(credentials);
        }
        let _only_one = self.renewing.lock().await;
        if let Some(credentials) = self.fresh() {
            return Ok(credentials);
        }
        match self.assume_role().await {
            Ok(session) => {
                let credentials = session.credentials.clone();
                *self.current() = Some(session);
                Ok(credentials)
            }
            Err(error) => self.old_keys(&error).ok_or(error),
        }
    }

    /// The keys to renew, while they live.
    fn old_keys(&self, error: &CredentialsError) -> Option<Credentials> {
        let now = SystemTime::now();
        let mut current = self.current();
        let session = current.as_mut().filter(|session| now < session.until)?;
        session.renew_at = now + RENEW_AGAIN;
        let left = session.until.duration_since(now).unwrap_or_default();
        tracing::warn!(
            role = self.config.role_arn,
            left_secs = left.as_secs(),
            error = %DisplayErrorContext(error),
            "the keys of the storage cannot be renewed yet"
        );
        Some(session.credentials.clone())
    }

    async fn assume_role(&self) -> Result<Session, CredentialsError> {
        let token = self
            .token()
            .await
            .map_err(CredentialsError::provider_error)?;
        let since = SystemTime::now();
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.config.role_arn)
            .role_session_name(&self.session_name)
            .web_identity_token(token)
            .duration_seconds(self.config.session_secs.cast_signed())
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let keys = answer
            .credentials
            .ok_or_else(|| CredentialsError::provider_error("the service answered without keys"))?;
        let until =
            SystemTime::try_from(keys.expiration).map_err(CredentialsError::provider_error)?;
        let credentials = Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            Some(keys.session_token),
            None,
            "web identity",
        );
        Ok(Session::new(credentials, since, until))
    }

    async fn token(&self) -> Result<String, String> {
        let path = &self.token_file;
        let wrong = |what: String| format!("token file {}: {what}", path.display());
        let size = tokio::fs::metadata(path)
            .await
            .map_err(|error| wrong(error.to_string()))?
            .len();
        if size > LONGEST_TOKEN {
            return Err(wrong(format!("{size} bytes are no token")));
        }
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        Ok(token.to_owned())
    }

    /// After the server refused a request: gives the keys up, if new ones may help.
    fn refused(&self, certainly_the_keys: bool) -> bool {
        let mut current = self.current();
        let Some(session) = current.as_ref() else {
            // Another request gave them up already.
            return true;
        };
        let age = SystemTime::now().duration_since(session.since);
        if certainly_the_keys || age.unwrap_or_default() > YOUNG {
            *current = None;
            return true;
        }
        false
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ProvideCredentials for Sessions {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// Has a request that was refused for its keys sent again with new ones.
#[derive(Debug)]
pub(super) struct RenewRefused(pub(super) std::sync::Arc<Sessions>);

impl ClassifyRetry for RenewRefused {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else {
            return RetryAction::NoActionIndicated;
        };
        let status = response.status().as_u16();
        let body = response.body().bytes().unwrap_or_default();
        let says = |code: &str| {
            let code = format!("<Code>{code}</Code>");
            body.windows(code.len()).any(|part| part == code.as_bytes())
        };
        let keys = ["ExpiredToken", "InvalidToken", "InvalidAccessKeyId"];
        let certainly_the_keys = matches!(status, 400..=403) && keys.into_iter().any(says);
        // A HEAD is answered without words.
        let perhaps = matches!(status, 401 | 403) || status == 400 && body.is_empty();
        if (certainly_the_keys || perhaps) && self.0.refused(certainly_the_keys) {
            return RetryAction::transient_error();
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "renew refused keys"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(renew_in: i64, ends_in: i64) -> Sessions {
        let at = |secs: i64| {
            let now = SystemTime::now();
            let shift = Duration::from_secs(secs.unsigned_abs());
            if secs < 0 { now - shift } else { now + shift }
        };
        // A client without a way to the network: every renewal fails.
        let nowhere = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .build();
        let sts = aws_sdk_sts::Client::from_conf(nowhere);
        let file = PathBuf::from("/nonexistent/token");
        let sessions = Sessions::new(WebIdentity::default(), file, "test".to_owned(), sts);
        *sessions.current() = Some(Session {
            credentials: Credentials::from_keys("key", "secret", None),
            since: SystemTime::now(),
            renew_at: at(renew_in),
            until: at(ends_in),
        });
        sessions
    }

    #[tokio::test]
    async fn old_keys_serve_to_their_end_while_they_cannot_be_renewed() {
        assert!(sessions(100, 200).credentials().await.is_ok());
        let due = sessions(-100, 200);
        assert_eq!(due.credentials().await.unwrap().access_key_id(), "key");
        let renew_at = due.current().as_ref().unwrap().renew_at;
        assert!(renew_at > SystemTime::now(), "not tried for each request");
        let error = sessions(-200, -100).credentials().await.unwrap_err();
        let said = DisplayErrorContext(&error).to_string();
        assert!(said.contains("/nonexistent/token"), "{said}");
    }

    #[test]
    fn keys_are_renewed_when_two_thirds_of_their_life_are_over() {
        let (since, life) = (SystemTime::now(), Duration::from_hours(1));
        for _ in 0..100 {
            let keys = Credentials::from_keys("key", "secret", None);
            let session = Session::new(keys, since, since + life);
            let after = session.renew_at.duration_since(since).unwrap().as_secs();
            assert!((2039..=2400).contains(&after), "{after} s");
        }
    }

    #[test]
    fn new_keys_are_not_asked_for_rights_that_new_keys_lack_too() {
        let sessions = sessions(100, 200);
        assert!(!sessions.refused(false), "young, and perhaps the rights");
        assert!(sessions.refused(true));
        assert!(sessions.refused(false), "given up already");
    }
}
