//! The profiles that come with the program, by name: examples to begin from.

/// A profile that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its files.
    pub files: &'static [ShippedFile],
}

/// One file of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShippedFile {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

macro_rules! profile {
    ($name:literal) => {
        Shipped {
            name: $name,
            files: profile!($name: "profile", "sites", "files", "attributes", "run-types", "periods"),
        }
    };
    ($name:literal: $($file:literal),+) => {
        &[$(ShippedFile {
            name: concat!($file, ".toml"),
            text: include_str!(concat!(
                "../../../topology/profiles/", $name, "/", $file, ".toml"
            )),
        }),+]
    };
}

/// The profiles that come with the program; the first is that of the demonstration.
pub fn shipped() -> &'static [Shipped] {
    const SHIPPED: &[Shipped] = &[
        profile!("cygno-like"),
        profile!("xenon-like"),
        profile!("ams-like"),
    ];
    SHIPPED
}
