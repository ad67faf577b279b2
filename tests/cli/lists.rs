//! Lists as administrators export them from many places: never a wrong person, and whatever is advised works.

use crate::columns::Right::{self, Reads, Refused};
use crate::columns::check;

const UPN: &[(&str, &str)] = &[("--column UserPrincipalName", "UserPrincipalName")];

/// Name of the list, its text, flags, and what becomes of it.
type List = (&'static str, &'static str, &'static str, Right);

#[rustfmt::skip]
const LISTS: &[List] = &[
    // Devices.
    ("Intune, devices", "Device ID,Device name,Last check-in,Azure AD Device ID,OS version,Serial number,UserId,Primary user UPN,Primary user email address,Compliance,Ownership\n\
        <x0>,PC0,2026,<x1>,10,S0,<u0>,u0@contoso.com,u0@contoso.com,Yes,Corporate\n<x2>,PC1,2026,<x3>,10,S1,<u1>,u1@contoso.com,u1@contoso.com,Yes,Corporate\n",
        "", Refused(&["an export of devices", "column 8 \"Primary user UPN\""], &[("--column 8", "Primary user UPN")])),
    ("Intune, devices, German", "Geräte-ID,Gerätename,Betriebssystem,UserId,UPN des primären Benutzers\n<x0>,PC0,Windows,<u0>,u0@contoso.com\n",
        "", Refused(&["an export of devices", "4 \"UserId\" (such as"], &[])),
    ("Entra, devices", "displayName,accountEnabled,operatingSystem,joinType (trustType),registeredOwners,userNames,isCompliant,deviceId,isManaged,objectId,model\n\
        PC0,TRUE,Windows,AzureAD,m0@contoso.com,U0,TRUE,<x0>,TRUE,<x1>,M\n",
        "", Refused(&["an export of devices", "10 \"objectId\""], &[])),
    ("Get-MgDevice", "\"DisplayName\",\"Id\",\"DeviceId\"\n\"PC0\",\"<x0>\",\"<x1>\"\n", "", Refused(&["an export of devices"], &[])),
    ("Get-MgDeviceManagementManagedDevice", "\"Id\",\"DeviceName\",\"UserPrincipalName\",\"UserId\",\"AzureAdDeviceId\"\n\"<x0>\",\"PC0\",\"u0@contoso.com\",\"<u0>\",\"<x1>\"\n",
        "", Refused(&["an export of devices"], UPN)),
    ("the same, and the person has decided", "\"Id\",\"DeviceName\",\"UserPrincipalName\",\"UserId\",\"AzureAdDeviceId\"\n\"<x0>\",\"PC0\",\"u0@contoso.com\",\"<u0>\",\"<x1>\"\n",
        "--column userid", Reads("UserId", 1, 0, &[])),
    ("an inventory by hand", "Device name,Serial number,Id,UserPrincipalName\nPC0,S0,<x0>,u0@contoso.com\n", "", Refused(&["an export of devices"], UPN)),
    ("users with their computers", "UserPrincipalName,Device name\nu0@contoso.com,PC0\nu1@contoso.com,PC1\n", "", Reads("UserPrincipalName", 2, 0, &[])),
    ("BitLocker keys", "id,createdDateTime,deviceId\n<x0>,2026,<x1>\n", "", Refused(&["an export of devices"], &[])),
    // Logs.
    ("Entra, sign-ins", "Date (UTC),Request ID,Correlation ID,User ID,User,Username,Application,Application ID ,Resource ID ,IP address,Status,Sign-in error code,Device ID\n\
        2026,<x0>,<x1>,<u0>,U0,u0@contoso.com,Office,<x2>,<x3>,10.0.0.1,Success,0,\n",
        "", Refused(&["an export of log entries"], &[("--column Username", "Username")])),
    ("Entra, sign-ins, fewer columns", "Date (UTC),Request ID,User,Username,IP address,Status\n2026,<x0>,U0,u0@contoso.com,10.0.0.1,Success\n",
        "", Refused(&["an export of log entries"], &[("--column Username", "Username")])),
    ("Get-MgAuditLogSignIn", "\"Id\",\"UserDisplayName\",\"UserPrincipalName\",\"UserId\",\"AppId\",\"ClientAppUsed\"\n\"<x0>\",\"U0\",\"u0@contoso.com\",\"<u0>\",\"<x1>\",\"Browser\"\n",
        "", Refused(&["an export of log entries"], UPN)),
    ("Entra, audit log", "Date (UTC),CorrelationId,Activity,ActorObjectId,ActorUserPrincipalName,Target1ObjectId,Target1UserPrincipalName\n2026,<x0>,Update user,<x1>,admin@contoso.com,<u0>,u0@contoso.com\n",
        "", Refused(&["an export of log entries"], &[("--column Target1UserPrincipalName", "Target1UserPrincipalName")])),
    ("Purview, audit log", "RecordId,CreationDate,RecordType,Operation,UserId,AuditData\n<x0>,2026,8,Update user.,admin@contoso.com,{}\n",
        "", Refused(&["an export of log entries", "5 \"UserId\""], &[])),
    ("Azure Monitor", "TimeGenerated,OperationName,UserPrincipalName,UserId,ResultType\n2026,Sign-in,u0@contoso.com,<u0>,0\n", "", Refused(&["an export of log entries"], UPN)),
    ("Entra, provisioning log", "\"Id\",\"ActivityDateTime\",\"JobId\",\"CycleId\",\"ChangeId\",\"SourceIdentity\"\n\"<x0>\",\"2026\",\"<x1>\",\"<x2>\",\"<x3>\",\"a@b\"\n",
        "", Refused(&["an export of log entries", "1 \"Id\""], &[])),
    ("a provisioning log, shortened", "id,changeId,UserPrincipalName\n<x0>,<x1>,u0@contoso.com\n", "", Refused(&["an export of log entries"], UPN)),
    // Licenses and usage.
    ("Get-MgUserLicenseDetail", "\"Id\",\"SkuId\",\"SkuPartNumber\",\"UserPrincipalName\"\n\"<x0>\",\"<x1>\",\"E3\",\"u0@contoso.com\"\n", "", Refused(&["an export of licenses"], UPN)),
    ("Get-MgSubscribedSku", "\"AccountId\",\"Id\",\"SkuId\"\n\"<x0>\",\"<x1>\",\"<x2>\"\n", "", Refused(&["an export of licenses"], &[])),
    ("usage report", "Report Refresh Date,User Principal Name,Has Exchange License\n2026,u0@contoso.com,True\n", "", Refused(&["an export of usage data"], &[("--column 2", "User Principal Name")])),
    // Mailboxes.
    ("Get-Mailbox", "\"ExchangeGuid\",\"ExternalDirectoryObjectId\",\"Alias\",\"RecipientTypeDetails\",\"UserPrincipalName\",\"Guid\",\"Id\"\n\"<x0>\",\"<u0>\",\"u0\",\"UserMailbox\",\"u0@contoso.com\",\"<x1>\",\"u0\"\n",
        "", Refused(&["an export of mailboxes"], UPN)),
    ("Get-EXOMailbox, chosen columns", "\"Guid\",\"Id\",\"PrimarySmtpAddress\",\"ExternalDirectoryObjectId\"\n\"<x0>\",\"<x1>\",\"u0@contoso.com\",\"<u0>\"\n",
        "", Refused(&["an export of mailboxes"], &[("--column ExternalDirectoryObjectId", "ExternalDirectoryObjectId")])),
    ("Get-MailboxStatistics", "\"DisplayName\",\"MailboxGuid\",\"TotalItemSize\"\n\"U0\",\"<x0>\",\"1 GB\"\n", "", Refused(&["an export of mailboxes"], &[])),
    // Groups, applications, roles, invitations, sites.
    ("Get-MgGroup", "\"Id\",\"DisplayName\",\"GroupTypes\",\"SecurityEnabled\"\n\"<x0>\",\"Sales\",\"Unified\",\"False\"\n", "", Refused(&["an export of groups"], &[("--object groups", "Id")])),
    ("Get-Team", "GroupId,DisplayName,Visibility\n<x0>,Sales,Private\n", "", Refused(&["no column is known"], &[("--object groups", "GroupId")])),
    ("groups, owners and members", "GroupName,GroupId,OwnerId,OwnerUPN,MemberUPN\nSales,<x0>,<x1>,m0@contoso.com,u0@contoso.com\n", "", Refused(&["no column is known"], &[("--object groups", "GroupId")])),
    ("users, given as groups", "userPrincipalName,id,userType\nu0@contoso.com,<u0>,Member\n", "--object groups", Refused(&["an export of users"], &[("--object users", "id")])),
    ("app registrations", "displayName,id,appId,createdDateTime\nApp,<x0>,<x1>,2026\n", "", Refused(&["an export of applications"], &[])),
    ("Get-MgDirectoryRole", "\"Id\",\"DisplayName\",\"RoleTemplateId\"\n\"<x0>\",\"Global Reader\",\"<x1>\"\n", "", Refused(&["an export of role assignments"], &[])),
    ("Get-MgInvitation", "\"Id\",\"InvitedUserEmailAddress\",\"InviteRedeemUrl\"\n\"<x0>\",\"u0@fabrikam.com\",\"https://x\"\n", "", Refused(&["an export of invitations"], &[])),
    ("sites", "Id,SiteUrl,Owner Principal Name\n<x0>,https://x,m0@contoso.com\n", "", Refused(&["an export of sites"], &[])),
    // People.
    ("Microsoft 365, active users", "Block credential,Display name,Licenses,Object Id,User principal name\nFalse,U0,E3,<u0>,u0@contoso.com\n", "", Reads("Object Id", 1, 0, &[])),
    ("Microsoft 365, German", "Anzeigename,Benutzerprinzipalname,Lizenzen,Objekt-ID\nU0,u0@contoso.com,E3,<u0>\n", "", Refused(&["no column is known", "2 \"Benutzerprinzipalname\" (such as \"u0@contoso.com\")"], &[])),
    ("Microsoft 365, French", "Nom d'affichage;Nom d'utilisateur principal;Licences;ID d'objet\nU0;u0@contoso.com;E3;<u0>\n", "", Refused(&["no column is known", "4 \"ID d'objet\""], &[])),
    ("guests", "userPrincipalName,id,userType\nu0_fabrikam.com#EXT#@contoso.onmicrosoft.com,<u0>,Guest\n", "", Reads("id", 1, 0, &[])),
    ("Get-ADUser", "\"DistinguishedName\",\"ObjectGUID\",\"SamAccountName\",\"UserPrincipalName\",\"Manager\"\n\"CN=U0\",\"<x0>\",\"u0\",\"u0@contoso.com\",\"CN=M0\"\n", "", Reads("UserPrincipalName", 1, 0, &[])),
    ("risky users", "id,userPrincipalName,riskLevel\n<u0>,u0@contoso.com,high\n", "", Reads("id", 1, 0, &[])),
    ("members of a group", "GroupId,GroupName,UserId,User,Role\n<x0>,Sales,<u0>,u0@contoso.com,Member\n", "", Reads("UserId", 1, 0, &[])),
    ("HR, German", "Personalnummer;Name;UPN;Vorgesetzter;Vorgesetzter UPN\n7;Ann;u0@contoso.com;Max;m0@contoso.com\n", "", Reads("UPN", 1, 0, &[])),
    ("HR, numbers of its own", "User ID,Name,Manager UPN,Email\n1007,Ann,m0@contoso.com,u0@contoso.com\n1008,Bo,m0@contoso.com,u1@contoso.com\n",
        "", Refused(&["2 of 2 rows hold no usable id in column \"User ID\"", "4 \"Email\""], &[])),
    ("HR, manager beside", "Employee;E-Mail;Manager E-Mail\nAnn;u0@contoso.com;m0@contoso.com\n", "", Refused(&["no column is known"], &[])),
    ("a flattened object", "userPrincipalName,manager.id,manager.userPrincipalName\nu0@contoso.com,<x0>,m0@contoso.com\n", "", Reads("userPrincipalName", 1, 0, &[])),
    ("only the manager of a flattened object", "displayName,manager/id,manager/userPrincipalName\nU0,<x0>,m0@contoso.com\n", "", Refused(&["no column is known"], &[])),
    ("Google Workspace, with passwords", "First Name [Required],Email Address [Required],Password [Required]\nAnn,u0@contoso.com,Summer26!\n",
        "", Refused(&["no column is known", "3 \"Password [Required]\""], &[])),
    ("Power BI", "Managers[userPrincipalName],Users[Name]\nm0@contoso.com,Ann\n", "", Refused(&["no column is known"], &[])),
    ("an index column", ",UserPrincipalName,Id\n0,u0@contoso.com,<u0>\n1,u1@contoso.com,<u1>\n", "", Reads("Id", 2, 0, &[])),
    ("filters above the table", "Filter:,Department = Sales\nExported:,2026-11-20\nUser principal name,Department\nu0@contoso.com,Sales\n", "", Reads("User principal name", 1, 0, &["2 title lines"])),
];

#[test]
fn no_list_of_an_administrator_gives_a_wrong_person() {
    for (name, text, flags, right) in LISTS {
        check(name, text, flags, right);
    }
}
