//! Exports of other things than the objects that were asked for, known by their columns.

use super::names::normal;
use crate::model::ObjectKind;

/// One kind of export: what its rows are, and the names of columns that tell it, as [`normal`] gives them.
struct Export {
    what: &'static str,
    /// The objects it lists, where it is a fit input for them.
    is: Option<ObjectKind>,
    /// One of these is enough.
    telling: &'static [&'static str],
    /// Names that a list of users may hold as well: it takes two.
    hinting: &'static [&'static str],
}

/// Names are those of the Entra, Intune, Microsoft 365 and Exchange admin centers and of PowerShell's
/// objects. Logs come first: they also name devices and applications.
const EXPORTS: [Export; 11] = [
    Export {
        what: "log entries",
        is: None,
        telling: &[
            "correlationid",
            "signinerrorcode",
            "clientappused",
            "uniquetokenidentifier",
            "conditionalaccessstatus",
            "activitydatetime",
            "activitydisplayname",
            "changeid",
            "cycleid",
            "provisioningaction",
            "provisioningsteps",
            "sourceidentity",
            "targetidentity",
            "actorobjectid",
            "actoruserprincipalname",
            "target1objectid",
            "target1userprincipalname",
            "loggedbyservice",
            "auditdata",
            "riskeventtype",
        ],
        hinting: &[
            "requestid",
            "timegenerated",
            "operationname",
            "resulttype",
            "ipaddress",
            "dateutc",
            "jobid",
            "sourcesystem",
            "targetsystem",
            "appdisplayname",
            "application",
            "browser",
            "useragent",
            "clientapp",
            "initiatedby",
            "resultreason",
            "failurereason",
        ],
    },
    Export {
        what: "devices",
        is: None,
        telling: &[
            "deviceid",
            "azureaddeviceid",
            "azureaddeviceobjectid",
            "aaddeviceid",
            "entradeviceid",
            "microsoftentradeviceid",
            "intunedeviceid",
            "easdeviceid",
            "manageddeviceid",
            "manageddevicename",
            "deviceostype",
            "deviceosversion",
            "devicetrusttype",
            "devicephysicalids",
            "physicalids",
            "registeredowner",
            "registeredowners",
            "mdmdisplayname",
            "primaryuserupn",
            "primaryuserid",
            "primaryuserdisplayname",
            "primaryuseremailaddress",
            "azureadregistered",
            "imei",
            "meid",
            "iccid",
            "wifimac",
            "geräteid",
            "iddelappareil",
            "iddeldispositivo",
        ],
        hinting: &[
            "devicename",
            "devicecategory",
            "deviceownership",
            "serialnumber",
            "operatingsystem",
            "operatingsystemversion",
            "os",
            "osversion",
            "jointype",
            "jointypetrusttype",
            "trusttype",
            "profiletype",
            "skufamily",
            "iscompliant",
            "compliance",
            "compliancestate",
            "ismanaged",
            "manufacturer",
            "model",
            "managementagent",
            "lastcheckin",
            "enrolleddatetime",
            "gerätename",
            "nomdelappareil",
            "nombredeldispositivo",
        ],
    },
    Export { what: "usage data", is: None, telling: &["reportrefreshdate"], hinting: &[] },
    Export {
        what: "invitations",
        is: None,
        telling: &["inviteredeemurl", "inviteduseremailaddress", "inviteeemail"],
        hinting: &[],
    },
    Export {
        what: "licenses",
        is: None,
        telling: &[
            "skuid",
            "skupartnumber",
            "accountskuid",
            "subscribedskuid",
            "consumedunits",
            "prepaidunits",
            "serviceplanid",
            "hasexchangelicense",
            "exchangelicenseassigndate",
            "assignedproducts",
        ],
        hinting: &[],
    },
    Export {
        what: "mailboxes",
        is: None,
        telling: &[
            "exchangeguid",
            "mailboxguid",
            "archiveguid",
            "recipienttypedetails",
            "recipienttype",
            "exchangeobjectid",
            "legacyexchangedn",
            "mailboxtype",
            "mailboxplan",
            "totalitemsize",
            "forwardingsmtpaddress",
        ],
        hinting: &["primarysmtpaddress", "emailaddresses", "guid", "alias", "identity", "organizationalunit"],
    },
    Export {
        what: "groups",
        is: Some(ObjectKind::Groups),
        telling: &[
            "grouptype",
            "grouptypes",
            "membershiptype",
            "membershiprule",
            "securityenabled",
            "isassignabletorole",
        ],
        hinting: &["mailenabled", "visibility", "groupname"],
    },
    Export {
        what: "applications",
        is: None,
        telling: &[
            "appid",
            "applicationid",
            "appownerorganizationid",
            "serviceprincipalid",
            "serviceprincipaltype",
            "serviceprincipalnames",
            "signinaudience",
            "replyurls",
            "approleid",
        ],
        hinting: &[],
    },
    Export {
        what: "role assignments",
        is: None,
        telling: &[
            "roletemplateid",
            "roledefinitionid",
            "roleassignmentid",
            "directoryscopeid",
            "principalid",
        ],
        hinting: &[],
    },
    Export {
        what: "sites and channels",
        is: None,
        telling: &["siteid", "siteurl", "driveid", "channelid"],
        hinting: &[],
    },
    Export {
        what: "users",
        is: Some(ObjectKind::Users),
        telling: &["usertype", "usagelocation", "accountenabled", "blockcredential"],
        hinting: &[],
    },
];

/// What a list with these columns is, the column that tells it, and the objects it is fit for; `None` where
/// nothing speaks against a list of `object`.
pub(super) fn of_another(
    header: &[String],
    object: ObjectKind,
) -> Option<(&'static str, usize, Option<ObjectKind>)> {
    let names: Vec<_> = header.iter().map(|name| normal(name)).collect();
    EXPORTS.iter().filter(|export| export.is != Some(object)).find_map(|export| {
        let found = |list: &[&str]| -> Vec<usize> {
            (0..names.len()).filter(|at| list.contains(&&*names[*at])).collect()
        };
        let (telling, hinting) = (found(export.telling), found(export.hinting));
        let tells = telling.first().or((hinting.len() > 1).then(|| &hinting[0]))?;
        Some((export.what, *tells, export.is))
    })
}
