//! What an answer of an S3 server, or its absence, means.
//!
//! Codes: "Error responses", Amazon S3 API Reference, and what `SeaweedFS`, Garage and
//! Ceph answer. Codes go before status numbers, which servers choose more freely.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::StorageError;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A conditional request found something under the key.
    Exists,
    /// Another request for the key or the upload is under way.
    Busy,
    /// No such object.
    NoObject,
    /// No such bucket.
    NoBucket,
    /// No such upload: completed, aborted or never begun.
    NoUpload,
    /// The bytes do not match their checksum.
    BadDigest,
    /// Rights are missing or expired.
    Denied,
    /// No space or quota is left.
    Full,
    /// Overloaded or broken. The request may have been carried out.
    Troubled,
    /// No complete answer came. The request may have been carried out.
    NoAnswer,
    /// Everything else that the server will not do.
    Rejected,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: Why,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        if let SdkError::ServiceError(context) = error {
            let (status, meta) = (context.raw().status().as_u16(), context.err().meta());
            let code = meta.code().unwrap_or_default();
            let message = meta.message().unwrap_or_default();
            return Self {
                why: why(status, code),
                detail: format!("{status} {code} {message}").trim_end().to_owned(),
            };
        }
        let why = match error {
            _ if lacks_credentials(error) => Why::Denied,
            SdkError::ConstructionFailure(_) => Why::Rejected,
            _ => Why::NoAnswer,
        };
        let detail = causes(error);
        Self { why, detail }
    }

    /// An answer that lacks what it must have.
    pub(super) fn odd_answer(detail: &str) -> Self {
        Self {
            why: Why::Troubled,
            detail: detail.to_owned(),
        }
    }

    /// Whether the request may have been carried out all the same.
    pub(super) fn outcome_is_unknown(&self) -> bool {
        matches!(
            self.why,
            Why::Exists | Why::Busy | Why::NoUpload | Why::Troubled | Why::NoAnswer
        )
    }

    /// The error for the caller. `subject` is what the operation was about.
    pub(super) fn into_error(
        self,
        operation: &'static str,
        subject: &str,
        bucket: &str,
    ) -> StorageError {
        let (subject, detail) = (subject.to_owned(), self.detail);
        match self.why {
            Why::Exists | Why::Busy | Why::NoUpload | Why::NoObject => StorageError::Interrupted {
                operation,
                subject,
                detail,
            },
            Why::NoBucket => StorageError::NoLocation {
                location: bucket.to_owned(),
            },
            Why::BadDigest => StorageError::Damaged {
                operation,
                subject,
                detail,
            },
            Why::Denied => StorageError::Denied {
                operation,
                subject,
                detail,
            },
            Why::Full => StorageError::Full {
                operation,
                subject,
                detail,
            },
            Why::Troubled | Why::NoAnswer => StorageError::Unavailable {
                operation,
                subject,
                detail,
            },
            Why::Rejected => StorageError::Rejected {
                operation,
                subject,
                detail,
            },
        }
    }
}

fn why(status: u16, code: &str) -> Why {
    match code {
        "PreconditionFailed" => Why::Exists,
        // Another writer replaced a part of the upload that we complete.
        "ConditionalRequestConflict" | "OperationAborted" | "InvalidPart" => Why::Busy,
        "NoSuchBucket" => Why::NoBucket,
        "NoSuchUpload" => Why::NoUpload,
        "NoSuchKey" => Why::NoObject,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch" => Why::BadDigest,
        "QuotaExceeded" | "QuotaExceededException" | "EntityTooLargeForQuota" => Why::Full,
        "RequestTimeout" | "SlowDown" | "ServiceUnavailable" | "InternalError" => Why::Troubled,
        "NotImplemented" => Why::Rejected,
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => Why::Denied,
        // A HEAD with expired rights is answered without a word.
        "" if status == 400 => Why::Denied,
        _ => match status {
            401 | 403 => Why::Denied,
            404 => Why::NoObject,
            409 => Why::Busy,
            412 => Why::Exists,
            501 => Why::Rejected,
            507 => Why::Full,
            // A redirect is an answer of another server than ours.
            0..=399 | 408 | 425 | 429 | 500.. => Why::Troubled,
            _ => Why::Rejected,
        },
    }
}

/// Whether there were no keys to sign the request with: it was not sent.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error and what caused it, in one line.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use aquifer_runtime::retry::{Classify as _, ErrorClass};

    use super::*;

    #[test]
    fn outages_are_never_the_fault_of_the_data() {
        let class = |status, code| {
            let failure = Failure {
                why: why(status, code),
                detail: String::new(),
            };
            failure.into_error("put", "k", "b").class()
        };
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (502, ""),
            (400, "RequestTimeout"),
            (403, "AccessDenied"),
            (400, "ExpiredToken"),
            (400, ""),
            (404, "NoSuchBucket"),
            (507, ""),
            (200, ""),
        ] {
            assert_eq!(
                class(status, code),
                ErrorClass::Unavailable,
                "{status} {code}"
            );
        }
        assert_eq!(class(400, "BadDigest"), ErrorClass::Transient);
        assert_eq!(class(409, "OperationAborted"), ErrorClass::Transient);
        assert_eq!(class(400, "InvalidRequest"), ErrorClass::Permanent);
        assert_eq!(class(501, "NotImplemented"), ErrorClass::Permanent);
    }
}
