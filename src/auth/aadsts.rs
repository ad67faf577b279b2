//! Advice for AADSTS codes: common sign-in errors, each with its fix (`docs/reference.md#sign-in-errors`).

/// The values that appear in the advice.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignInRequest<'a> {
    pub(super) authority: &'a str,
    pub(super) tenant: &'a str,
    pub(super) client_id: &'a str,
}

/// The number behind the first `AADSTS` of a text.
pub(super) fn code_in(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("AADSTS")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

/// The advice for an AADSTS code; `None` if there is none.
pub(super) fn fix(code: u64, asked: SignInRequest<'_>) -> Option<String> {
    let SignInRequest { authority, tenant, client_id } = asked;
    let authority = authority.trim_end_matches('/');
    let text = match code {
        7_000_215 => {
            "AZURE_CLIENT_SECRET is not a secret of this app. Take the secret's Value, not its Secret ID: Entra admin \
             center > App registrations > the app > Certificates & secrets. It is shown once only; add a new one if it is lost"
                .to_owned()
        }
        7_000_218 => {
            "the app sent no credential. Set AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH. For --auth browser \
             and --auth device-code switch on App registrations > the app > Authentication > Allow public client flows"
                .to_owned()
        }
        7_000_222 => {
            "the client secret has expired: add a new one under App registrations > the app > Certificates & secrets and set \
             AZURE_CLIENT_SECRET to its Value; a certificate or a managed identity needs no such renewal"
                .to_owned()
        }
        700_016 => format!(
            "there is no app {client_id} in tenant {tenant}: check AZURE_CLIENT_ID (the Application (client) ID, not the object \
             id), --tenant and --cloud; an app of another tenant must first be consented to here: \
             {authority}/{tenant}/adminconsent?client_id={client_id}"
        ),
        700_024 => {
            "the assertion is outside its time: set this machine's clock (it must be right within five minutes), or let the \
             issuer write a fresh assertion; reprovision signs or reads a new one at every renewal"
                .to_owned()
        }
        50_020 => format!(
            "the account that signed in is not a member of tenant {tenant}: sign in with an account of that tenant, or check --tenant"
        ),
        53_003 | 530_003 => {
            "Conditional Access blocked this sign-in. Entra admin center > Sign-in logs > the entry > Conditional Access names the \
             policy; sign in from a network or device that it allows, or ask for an exception for this app"
                .to_owned()
        }
        65_001 => format!(
            "nobody has consented to the app's permissions in this tenant: an administrator opens \
             {authority}/{tenant}/adminconsent?client_id={client_id} and accepts (a complaint about a missing reply address after that means nothing), or \
             clicks Grant admin consent under App registrations > the app > API permissions; then wait a few minutes"
        ),
        900_382 => {
            "the app belongs to another cloud than the sign-in host: give --cloud usgov, usgov-dod or china, or unset AZURE_AUTHORITY_HOST"
                .to_owned()
        }
        90_002 | 900_023 => format!("there is no tenant {tenant} in this cloud: check --tenant and --cloud"),
        700_027 => {
            "the app does not know this certificate, or it has expired: upload its public part under App registrations > the app > \
             Certificates & secrets > Certificates, or set AZURE_CLIENT_CERTIFICATE_PATH to one that is listed there"
                .to_owned()
        }
        70_021 | 700_211 | 700_212 | 700_213 => {
            "no federated credential of the app fits the assertion: compare issuer, subject and audience under App \
             registrations > the app > Certificates & secrets > Federated credentials with what the message names"
                .to_owned()
        }
        50_076 | 50_079 | 50_158 => {
            "a second factor is needed: sign in again with it (az login --tenant, --auth browser or --auth device-code)".to_owned()
        }
        50_173 | 70_043 | 700_082 | 70_008 => "the sign-in has been withdrawn or is too old: sign in again".to_owned(),
        50_105 => {
            "the account is not assigned to the app: Enterprise applications > the app > Users and groups".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// The advice for an OAuth error without an AADSTS code; `None` if there is none.
pub(super) fn fix_of_error(error: &str, asked: SignInRequest<'_>) -> Option<String> {
    let SignInRequest { authority, tenant, client_id } = asked;
    let text = match error {
        "invalid_client" => format!(
            "app {client_id} could not prove itself: check AZURE_CLIENT_ID, and that the client secret, certificate or federated \
             credential belongs to this app and has not expired"
        ),
        "unauthorized_client" => format!(
            "app {client_id} may not sign in this way in tenant {tenant}: check AZURE_CLIENT_ID, --tenant and --cloud, and the app's \
             Authentication settings"
        ),
        "invalid_grant" => "the sign-in, code or assertion is not valid any more: sign in again".to_owned(),
        "interaction_required" | "login_required" => {
            "a person must sign in again: az login --tenant, --auth browser or --auth device-code".to_owned()
        }
        "consent_required" => return fix(65_001, asked),
        "access_denied" | "authorization_declined" => {
            "the sign-in was declined, or a policy blocks it: the sign-in log of the tenant names the reason"
                .to_owned()
        }
        "invalid_scope" | "invalid_resource" => {
            format!(
                "{} does not know Microsoft Graph under this address: check --cloud",
                authority.trim_end_matches('/')
            )
        }
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_people_meet_has_its_fix() {
        let asked = SignInRequest {
            authority: "https://login.example/",
            tenant: "contoso.com",
            client_id: "the-app",
        };
        for (code, part) in [
            (7_000_215, "not its Secret ID"),
            (7_000_218, "Allow public client flows"),
            (7_000_222, "expired: add a new one"),
            (700_016, "no app the-app in tenant contoso.com"),
            (700_024, "clock"),
            (50_020, "not a member of tenant contoso.com"),
            (53_003, "Conditional Access"),
            (65_001, "https://login.example/contoso.com/adminconsent?client_id=the-app"),
            (900_382, "--cloud"),
        ] {
            let said = fix(code, asked).expect("a fix");
            assert!(said.contains(part), "{code}: {said}");
        }
        assert_eq!(fix(1, asked), None);
    }

    #[test]
    fn the_code_is_found_in_the_text() {
        assert_eq!(code_in("AADSTS7000215: Invalid client secret provided."), Some(7_000_215));
        assert_eq!(code_in("ERROR: AADSTS50020: User"), Some(50_020));
        assert_eq!(code_in("AADSTS: what"), None);
        assert_eq!(code_in("AADSTS99999999999999999999999"), None);
    }
}
