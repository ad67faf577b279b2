//! `--auth certificate`: an app that signs its assertions with the key of a certificate.

use std::path::Path;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::auth::assertion::AssertionSource;
use crate::auth::failure::Failure;
use crate::auth::plan::{Building, SignInPlan};
use crate::auth::secret_file::SecretFile;
use crate::auth::source::TokenSource;
use crate::error::Error;

/// Life of an assertion that we sign, in seconds: five to ten minutes are documented.
const LIFE: u64 = 600;
/// A clock that is a little ahead must not make the assertion begin in the future.
const LEEWAY: u64 = 60;

pub(super) fn source<'a>(plan: &'a SignInPlan<'a>) -> Building<'a> {
    async move {
        let file = plan.environment.get("AZURE_CLIENT_CERTIFICATE_PATH").unwrap_or_default();
        let read = SecretFile::beside(Path::new(file)).await.map_err(|error| {
            Error::SignIn(format!(
                "cannot read the certificate {file} (AZURE_CLIENT_CERTIFICATE_PATH): {error}"
            ))
        })?;
        plan.warn_of(&read, file);
        let chain = plan.environment.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        let chain = chain.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        let signer = Signer::read(&read.bytes, file, chain).map_err(Error::SignIn)?;
        TokenSource::assertions(plan, signer)
    }
    .boxed()
}

impl AssertionSource for Signer {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn assertion<'a>(
        &'a self,
        client_id: &'a str,
        audience: &'a Url,
    ) -> BoxFuture<'a, Result<SecretString, Failure>> {
        async move { self.sign(client_id, audience).map_err(Failure::Final) }.boxed()
    }
}

/// A private key with its certificate.
struct Signer {
    key: RsaKeyPair,
    thumbprint: String,
    chain: Option<Vec<String>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Signer").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the PEM of a certificate and its private key, in any order; `with_chain` sends all certificates
    /// along (`x5c`), for apps that trust a subject name and issuer.
    ///
    /// # Errors
    /// Says what the file is instead, and how to convert it; names it by `file`.
    fn read(bytes: &[u8], file: &str, with_chain: bool) -> Result<Self, String> {
        let wrong = |what: &str| format!("{file}: {what}");
        if bytes.first() == Some(&0x30) {
            return Err(wrong(&format!("is PFX (PKCS#12) or DER, PEM is needed. {}", conversion(file))));
        }
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(wrong(
                "is UTF-16, as Windows PowerShell writes with >; save it again: Set-Content -Encoding ascii",
            ));
        }
        // Editors and PowerShell put a mark before the first line, which is then no PEM line.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(wrong(&format!(
                "the private key is encrypted; decrypt it once: openssl pkey -in \"{file}\" -out key.pem, and put key and certificate in one file of mode 600"
            )));
        }
        let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong("a certificate in it is not readable PEM"))?;
        if certificates.is_empty() {
            return Err(wrong("no certificate in it (-----BEGIN CERTIFICATE-----)"));
        }
        let (key, leaf) = pair(bytes, &certificates).map_err(wrong)?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, leaf));
        let chain = with_chain.then(|| {
            let others = certificates.iter().filter(|certificate| *certificate != leaf);
            std::iter::once(leaf)
                .chain(others)
                .map(|certificate| base64::engine::general_purpose::STANDARD.encode(certificate))
                .collect()
        });
        Ok(Self { key, thumbprint, chain })
    }

    /// `PS256` with `x5t#S256`, as documented.
    fn sign(&self, client_id: &str, audience: &Url) -> Result<SecretString, String> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| "this machine's clock is before 1970: set it".to_owned())?
            .as_secs();
        let mut header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        if let Some(chain) = &self.chain {
            header["x5c"] = json!(chain);
        }
        let claims = json!({ "aud": audience.as_str(), "iss": client_id, "sub": client_id, "jti": Uuid::new_v4().to_string(),
            "nbf": now.saturating_sub(LEEWAY), "iat": now, "exp": now + LIFE });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "signing with the certificate's key failed".to_owned())?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// The first private key that one of the certificates belongs to.
fn pair<'a, 'b>(
    bytes: &[u8],
    certificates: &'b [CertificateDer<'a>],
) -> Result<(RsaKeyPair, &'b CertificateDer<'a>), &'static str> {
    let mut why = "no private key in it (-----BEGIN PRIVATE KEY-----): the file must hold both";
    for key in PrivateKeyDer::pem_slice_iter(bytes) {
        let key = match key {
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            Ok(_) => {
                why = "the private key is not RSA, which Entra needs";
                continue;
            }
            Err(_) => {
                why = "a private key in it is not readable PEM";
                continue;
            }
        };
        let Ok(key) = key else {
            why = "the private key is not RSA of 2048 to 4096 bits, which Entra needs";
            continue;
        };
        match certificates.iter().find(|certificate| holds(certificate, &key)) {
            Some(leaf) => return Ok((key, leaf)),
            None => why = "private key and certificate do not belong together",
        }
    }
    Err(why)
}

/// Whether the certificate holds the key's public part: its modulus appears in the certificate as it is.
fn holds(certificate: &CertificateDer<'_>, key: &RsaKeyPair) -> bool {
    let modulus = key.public().as_ref();
    certificate.windows(modulus.len()).any(|window| window == modulus)
}

fn conversion(file: &str) -> String {
    format!(
        "Convert it once and keep the result readable by yourself alone:\n  \
         openssl pkcs12 -in \"{file}\" -out app.pem -nodes\n\
         or in PowerShell 7.3 or newer:\n  \
         $c = [Security.Cryptography.X509Certificates.X509Certificate2]::new(\"{file}\", (Read-Host -MaskInput 'PFX password'), 'Exportable')\n  \
         $k = [Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($c)\n  \
         $c.ExportCertificatePem(), $k.ExportPkcs8PrivateKeyPem() | Set-Content app.pem"
    )
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use secrecy::ExposeSecret;

    use super::*;

    const PEM: &[u8] = include_bytes!("../../../tests/fixtures/app.pem");

    fn parts(text: &SecretString) -> (serde_json::Value, serde_json::Value, String, Vec<u8>) {
        let pieces: Vec<&str> = text.expose_secret().split('.').collect();
        let read = |piece: &str| {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(piece).expect("base64")).expect("JSON")
        };
        let signature = URL_SAFE_NO_PAD.decode(pieces[2]).expect("base64");
        (read(pieces[0]), read(pieces[1]), format!("{}.{}", pieces[0], pieces[1]), signature)
    }

    #[test]
    fn the_assertion_is_as_documented_and_its_signature_holds() {
        let audience = Url::parse("https://login.example/t/oauth2/v2.0/token").expect("a URL");
        let signer = Signer::read(PEM, "app.pem", false).expect("a signer");
        let text = signer.sign("the-app", &audience).expect("signed");
        let (head, claims, signed, signature) = parts(&text);
        assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some("PS256"), Some("JWT")));
        assert_eq!(head["x5t#S256"].as_str().map(str::len), Some(43));
        assert!(head.get("x5c").is_none());
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("the-app"), Some("the-app")));
        assert_eq!(claims["aud"].as_str(), Some(audience.as_str()));
        let life = claims["exp"].as_u64().expect("exp") - claims["nbf"].as_u64().expect("nbf");
        assert_eq!(life, LIFE + LEEWAY);
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, signer.key.public().as_ref())
            .verify(signed.as_bytes(), &signature)
            .expect("the signature holds");
        let other = parts(&signer.sign("the-app", &audience).expect("signed")).1;
        assert_ne!(claims["jti"], other["jti"]);
    }

    #[test]
    fn the_chain_goes_along_with_the_app_s_own_certificate_first() {
        let signer = Signer::read(PEM, "app.pem", true).expect("a signer");
        let head = parts(&signer.sign("a", &Url::parse("https://h/").expect("a URL")).expect("signed")).0;
        let chain = head["x5c"].as_array().expect("a chain");
        assert_eq!(chain.len(), 2);
        let first = base64::engine::general_purpose::STANDARD
            .decode(chain[0].as_str().expect("text"))
            .expect("base64");
        assert_eq!(head["x5t#S256"], URL_SAFE_NO_PAD.encode(digest(&SHA256, &first)));
    }

    #[test]
    fn pem_is_read_as_people_have_it() {
        let text = String::from_utf8(PEM.to_vec()).expect("text");
        let thumbprint = Signer::read(PEM, "app.pem", false).expect("a signer").thumbprint;
        let blocks: Vec<&str> = text.split_inclusive("-----END ").collect();
        assert!(blocks.len() > 2, "key and certificates");
        let crlf = text.replace('\n', "\r\n");
        let marked = format!("\u{feff}{text}");
        let bags = format!("Bag Attributes\n    localKeyID: 01\nsubject=CN = app\n{text}\ntrailing words\n");
        // Another key first: the one that fits is taken.
        let two_keys = format!("{}{text}", rcgen::KeyPair::generate().expect("an EC key").serialize_pem());
        for (name, form) in [("CRLF", crlf), ("a mark", marked), ("bags", bags), ("two keys", two_keys)] {
            let signer =
                Signer::read(form.as_bytes(), "app.pem", false).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(signer.thumbprint, thumbprint, "{name}");
        }
    }

    #[test]
    fn what_is_no_rsa_key_with_its_certificate_is_named() {
        let certificate: String = String::from_utf8_lossy(PEM)
            .lines()
            .skip_while(|line| !line.contains("BEGIN CERTIFICATE"))
            .take_while(|line| !line.contains("PRIVATE KEY"))
            .map(|line| format!("{line}\n"))
            .collect();
        let key = rcgen::KeyPair::generate().expect("an EC key").serialize_pem();
        let sec1 = key.replace("PRIVATE KEY", "EC PRIVATE KEY");
        let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(PEM.iter().flat_map(|byte| [*byte, 0])).collect();
        for (form, part) in [
            (format!("{certificate}{key}").into_bytes(), "not RSA of 2048 to 4096 bits"),
            (format!("{certificate}{sec1}").into_bytes(), "not RSA"),
            (certificate.clone().into_bytes(), "no private key in it"),
            (key.into_bytes(), "no certificate in it"),
            (utf16, "is UTF-16"),
            (Vec::new(), "no certificate in it"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA".to_vec(), "not readable PEM"),
        ] {
            let error = Signer::read(&form, "app.pem", false).expect_err(part);
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        let signer = Signer::read(PEM, "app.pem", false).expect("a signer");
        let shown = format!("{signer:?}");
        assert!(shown.len() < 100 && shown.contains("thumbprint"), "{shown}");
    }
}
