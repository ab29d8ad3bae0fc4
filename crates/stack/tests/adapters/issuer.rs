//! An issuer of tokens (`OpenID` Connect), as far as a server needs one that checks them:
//! signed JSON Web Tokens (RFC 7519, ES256) and the key to check them with (RFC 7517).

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aquifer_stack::TokenIssuer;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// For whom its tokens are.
const AUDIENCE: &str = "aquifer-storage";

/// Signs tokens.
pub(crate) struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    issued: AtomicU64,
}

impl Issuer {
    /// An issuer with a new key, and what answers those who check its tokens.
    pub(crate) async fn start() -> (Self, impl Future<Output = ()> + Send) {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // An uncompressed point: 4, x, y.
        let point = key.public_key().as_ref();
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }]});
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let answer = |value: Value| get(move || std::future::ready(Json(value)));
        let router = Router::new()
            .route("/jwks", answer(jwks))
            .route("/.well-known/openid-configuration", answer(discovery));
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        let issued = AtomicU64::new(0);
        (Self { url, key, issued }, serve)
    }

    /// What a server must know to check its tokens.
    pub(crate) fn as_known_to_s3(&self) -> TokenIssuer {
        TokenIssuer {
            url: self.url.clone(),
            audience: AUDIENCE.to_owned(),
        }
    }

    /// A token that is good for an hour.
    pub(crate) fn token(&self) -> String {
        self.token_for(AUDIENCE)
    }

    /// A token for somebody else perhaps.
    pub(crate) fn token_for(&self, audience: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_secs();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "1" });
        let claims = json!({
            "iss": self.url, "sub": "m2c", "aud": audience,
            "iat": now, "nbf": now - 5, "exp": now + 3600,
            "jti": self.issued.fetch_add(1, Ordering::Relaxed).to_string(),
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}
