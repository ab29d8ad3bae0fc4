//! The stack's own authority, and one certificate for its servers.
//!
//! Made anew at each start, for `127.0.0.1` and `localhost`; the authority's key is not
//! kept, so that nobody can sign another one.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use crate::StackError;
use crate::folder::Folder;

/// Certificates in files, as the servers take them.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// The servers' certificate.
    pub(crate) chain: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// Both in one file, which is how Kafka wants them.
    pub(crate) chain_with_key: PathBuf,
}

impl Certificates {
    /// Makes and writes them.
    pub(crate) fn make(folder: &Folder) -> Result<Self, StackError> {
        let [authority, chain, key] = sign().map_err(StackError::Certificates)?;
        let chain_with_key = format!("{key}{chain}");
        Ok(Self {
            authority: folder.write_etc("ca.pem", &authority)?,
            chain: folder.write_etc("server.pem", &chain)?,
            key: folder.write_etc("server.key", &key)?,
            chain_with_key: folder.write_etc("kafka-server.pem", &chain_with_key)?,
        })
    }
}

/// The authority's certificate, the servers' one and its key, each in PEM.
fn sign() -> Result<[String; 3], rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let names = &mut authority.distinguished_name;
    names.push(DnType::CommonName, "private stack of aquifer");
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();

    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    let names = &mut server.distinguished_name;
    names.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let issuer = Issuer::new(authority, authority_key);
    let chain = server.signed_by(&key, &issuer)?.pem();
    Ok([authority_pem, chain, key.serialize_pem()])
}
