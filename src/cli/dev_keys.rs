//! The development keys: made once, on this machine, for this machine.
//!
//! `<keys>/dev/` holds two private keys, the public key set and the issuer that trusts it. It is git-ignored, left out of every
//! bundle without `--dev`, and made as a whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use crate::bundle::Digest;
use crate::identity::signing::{self, SigningError};

/// The issuer's file.
pub(super) const ISSUERS: &str = "issuers.toml";
const JWKS: &str = "dev.jwks.json";
/// What a bundle may take of `keys/dev/`.
pub(super) const PUBLIC: [&str; 2] = [ISSUERS, JWKS];
/// What no bundle ever takes.
pub(super) const PRIVATE: [&str; 2] = [Algorithm::EdDsa.file(), Algorithm::Es256.file()];

/// `iss` of the development issuer. `.invalid` never resolves (RFC 2606).
pub(super) const ISS: &str = "https://dev.cedargate.invalid/";
/// Its audience.
pub(super) const AUDIENCE: &str = "cedargate";

const ISSUERS_TOML: &str = r#"# Made by `cedargate token`, for this machine only. It is read with `--dev` and never sealed without it.
# The private keys beside it are yours alone: remove this folder to have new ones made.
version = 1

[[issuer]]
name = "dev"
iss = "https://dev.cedargate.invalid/"
audience = "cedargate"
keys = ["dev.jwks.json"]
algorithms = ["EdDSA", "ES256"]
principal = "User"
prefix = "dev/"

# The groups and roles that the sample policies know. Any other becomes "dev/<value>".
[[mapping]]
issuer = "dev"
claim = "groups"
value = "readers"
to = "readers"

[[mapping]]
issuer = "dev"
claim = "groups"
value = "writers"
to = "writers"

[[mapping]]
issuer = "dev"
claim = "groups"
value = "admins"
to = "admins"

[[mapping]]
issuer = "dev"
claim = "groups"
value = "auditors"
to = "auditors"

[[mapping]]
issuer = "dev"
claim = "roles"
value = "admin"
to = "admin"
"#;

/// What a development token is signed with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    /// Ed25519
    #[default]
    #[value(name = "EdDSA")]
    EdDsa,
    /// ECDSA with P-256 and SHA-256
    #[value(name = "ES256")]
    Es256,
}

impl Algorithm {
    /// The JOSE name.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Es256 => "ES256",
        }
    }

    /// The file of its private key: PKCS#8 in DER.
    const fn file(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "ed25519.pk8",
            Algorithm::Es256 => "p256.pk8",
        }
    }
}

/// A private key and the name it goes by in the key set.
pub(super) struct SigningKey {
    pub pkcs8: Vec<u8>,
    pub kid: String,
}

impl SigningKey {
    /// Reads the key for `algorithm` from `<keys>/dev/`.
    pub(super) fn read(keys: &Path, algorithm: Algorithm) -> miette::Result<Self> {
        let folder = keys.join("dev");
        let path = folder.join(algorithm.file());
        let pkcs8 =
            fs::read(&path).into_diagnostic().wrap_err_with(|| format!("could not read the development key `{}`", path.display()))?;
        let jwk =
            jwk(algorithm, &pkcs8).map_err(|error| miette!(help = renew(&folder), "`{}` is not a private key: {error}", path.display()))?;
        let jwks = folder.join(JWKS);
        let text = fs::read(&jwks).into_diagnostic().wrap_err_with(|| format!("could not read `{}`", jwks.display()))?;
        // Otherwise the gate would refuse every token, and nothing would say why.
        let known = serde_json::from_slice::<Value>(&text)
            .is_ok_and(|set| set.get("keys").and_then(Value::as_array).is_some_and(|keys| keys.contains(&jwk)));
        if !known {
            return Err(miette!(help = renew(&folder), "`{}` does not hold the public key of `{}`", jwks.display(), path.display()));
        }
        let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { pkcs8, kid })
    }
}

/// Makes `<keys>/dev/` unless it is there. What is there is never changed.
pub(super) fn ensure(keys: &Path) -> miette::Result<()> {
    let folder = keys.join("dev");
    if present(&folder)? {
        return Ok(());
    }
    if !keys.is_dir() {
        return Err(miette!(
            help = "run it in the project's folder, or name the folder with --keys DIR",
            "the folder `{}` does not exist",
            keys.display()
        ));
    }
    // Everything is written into a folder of its own which is then renamed: nobody ever sees half of it, and of two
    // processes that do this at once one is second, finds the folder there, and uses it.
    let temporary = Temporary::new(keys).wrap_err_with(|| format!("could not make development keys in `{}`", folder.display()))?;
    fill(&temporary.0).into_diagnostic().wrap_err_with(|| format!("could not make development keys in `{}`", folder.display()))?;
    let renamed = fs::rename(&temporary.0, &folder);
    if renamed.is_err() && present(&folder)? {
        return Ok(());
    }
    renamed.into_diagnostic().wrap_err_with(|| format!("could not make development keys in `{}`", folder.display()))
}

/// Whether all files are there. Some of them are an error: making the rest would give keys that do not belong together.
fn present(folder: &Path) -> miette::Result<bool> {
    let missing: Vec<_> = PUBLIC.iter().chain(&PRIVATE).filter(|file| !folder.join(file).is_file()).collect();
    match missing.as_slice() {
        [] => Ok(true),
        some if some.len() == PUBLIC.len().saturating_add(PRIVATE.len()) => Ok(false),
        [first, ..] => {
            Err(miette!(help = renew(folder), "the development keys in `{}` are not complete: `{first}` is missing", folder.display()))
        }
    }
}

fn renew(folder: &Path) -> String {
    format!("remove `{}`: new keys are made then, and tokens made before are refused", folder.display())
}

/// A folder that removes itself when it was not renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(keys: &Path) -> miette::Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| miette!("the system has no randomness"))?;
        let path = keys.join(format!(".dev-{}", URL_SAFE_NO_PAD.encode(random)));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).into_diagnostic()?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing at this path.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fill(folder: &Path) -> io::Result<()> {
    // First, so that what a crash leaves behind is not committed by accident.
    public(&folder.join(".gitignore"), b"*\n")?;
    let mut jwks = Vec::new();
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let pkcs8 = signing::generate(algorithm.name()).map_err(io::Error::other)?;
        private(&folder.join(algorithm.file()), &pkcs8)?;
        jwks.push(jwk(algorithm, &pkcs8).map_err(io::Error::other)?);
    }
    let mut text = serde_json::to_vec_pretty(&json!({ "keys": jwks }))?;
    text.push(b'\n');
    public(&folder.join(JWKS), &text)?;
    public(&folder.join(ISSUERS), ISSUERS_TOML.as_bytes())
}

/// The public key as a JWK. Its `kid` is taken from the key, so that new keys have new names.
fn jwk(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Value, SigningError> {
    let unnamed = signing::public_jwk(algorithm.name(), pkcs8, "")?;
    let digest: String = Digest::of(unnamed.to_string().as_bytes()).to_string().chars().take(8).collect();
    signing::public_jwk(algorithm.name(), pkcs8, &format!("dev-{}-{digest}", algorithm.name().to_ascii_lowercase()))
}

fn private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write(&options.open(path)?, bytes)
}

fn public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(&File::create_new(path)?, bytes)
}

fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn keys_are_made_once_and_used_again() {
        let keys = tempfile::tempdir().unwrap();
        ensure(keys.path()).unwrap();
        let first = all(&keys.path().join("dev"));
        let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [".gitignore", "dev.jwks.json", "ed25519.pk8", "issuers.toml", "p256.pk8"]);
        ensure(keys.path()).unwrap();
        assert_eq!(all(&keys.path().join("dev")), first);
        assert_eq!(fs::read_dir(keys.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_private_keys() {
        use std::os::unix::fs::PermissionsExt as _;
        let keys = tempfile::tempdir().unwrap();
        ensure(keys.path()).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(keys.path().join("dev")), 0o700);
        for file in PRIVATE {
            assert_eq!(mode(keys.path().join("dev").join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn many_at_once_end_with_one_set_of_keys() {
        let keys = tempfile::tempdir().unwrap();
        let kids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        ensure(keys.path()).unwrap();
                        SigningKey::read(keys.path(), Algorithm::EdDsa).unwrap().kid
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(kids.windows(2).all(|pair| pair[0] == pair[1]), "{kids:?}");
        assert_eq!(fs::read_dir(keys.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_a_set_is_an_error_and_stays_as_it_is() {
        let keys = tempfile::tempdir().unwrap();
        ensure(keys.path()).unwrap();
        fs::remove_file(keys.path().join("dev/p256.pk8")).unwrap();
        let before = all(&keys.path().join("dev"));
        let error = ensure(keys.path()).unwrap_err();
        assert!(error.to_string().contains("`p256.pk8` is missing"), "{error}");
        assert_eq!(all(&keys.path().join("dev")), before);
    }

    #[test]
    fn a_key_that_is_not_in_the_key_set_is_not_signed_with() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ensure(one.path()).unwrap();
        ensure(two.path()).unwrap();
        assert!(SigningKey::read(one.path(), Algorithm::Es256).is_ok());
        fs::copy(two.path().join("dev/p256.pk8"), one.path().join("dev/p256.pk8")).unwrap();
        let error = SigningKey::read(one.path(), Algorithm::Es256).map(|key| key.kid).unwrap_err();
        assert!(error.to_string().contains("does not hold the public key"), "{error}");
        assert!(SigningKey::read(one.path(), Algorithm::EdDsa).is_ok());
    }

    #[test]
    fn the_file_and_the_tokens_name_the_same_issuer() {
        let file: toml::Value = toml::from_str(ISSUERS_TOML).unwrap();
        assert_eq!(file["issuer"][0]["iss"].as_str(), Some(ISS));
        assert_eq!(file["issuer"][0]["audience"].as_str(), Some(AUDIENCE));
        assert_eq!(file["issuer"][0]["keys"][0].as_str(), Some(JWKS));
    }

    #[test]
    fn a_missing_keys_folder_is_not_made() {
        let parent = tempfile::tempdir().unwrap();
        let error = ensure(&parent.path().join("keys")).unwrap_err();
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert!(!parent.path().join("keys").exists());
    }
}
