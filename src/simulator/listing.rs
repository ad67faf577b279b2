//! Reading: pages of a collection, and one object.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};

use super::directory::{Set, share_of};
use super::quota::Cost;
use super::tenant::{Tenant, decoded, header, not_found};
use super::wire::{Answer, error};

/// Page size without `$top`, and the largest.
const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 999;

pub(super) fn answer(
    tenant: &mut Tenant,
    now: Duration,
    set: Set,
    key: Option<&str>,
    request: &Request<Bytes>,
) -> Answer {
    let answer = decide(tenant, now, set, key, request);
    tenant.ledger.answered(answer.status);
    answer
}

fn decide(
    tenant: &mut Tenant,
    now: Duration,
    set: Set,
    key: Option<&str>,
    request: &Request<Bytes>,
) -> Answer {
    tenant.ledger.reads += 1;
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()).into_owned().collect();
    let select = query.get("$select").map(String::as_str);
    let top = query.get("$top").map_or(Ok(PAGE), |top| top.parse::<u64>());
    let small = matches!(top, Ok(top) if top < 20);
    let units = if key.is_none() { 2 } else { 1 } - i32::from(select.is_some()) - i32::from(small);
    if let Some(refused) = tenant.gate(now, Cost { writes: 0.0, units: f64::from(units.max(1)) }) {
        return refused;
    }
    if let Some((answer, _)) = tenant.fault(now) {
        return answer;
    }
    if let Some(unknown) = select.and_then(|select| unknown_property(set, select)) {
        let what = format!(
            "Could not find a property named '{unknown}' on type 'microsoft.graph.{}'.",
            set.of_one()
        );
        return error(400, "BadRequest", &what);
    }
    if query.contains_key("$filter") {
        return error(400, "Request_UnsupportedQuery", "Unsupported query.");
    }
    if let Some(key) = key {
        let Some((id, _)) = decoded(key) else { return error(404, "UnknownError", "") };
        return match tenant.resolve(set, &id) {
            Some(found) if share_of(&found, "read") < tenant.scenario.listing.forbidden => error(
                403,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            ),
            Some(found) => {
                let answer = Answer::json(200, &shown(tenant, now, set, &found, select));
                tenant.with_percentage(answer.with("x-ms-resource-unit", units.max(1).to_string()))
            }
            None => not_found(&id),
        };
    }
    let token = query.get("$skiptoken").map(|token| token.trim_start_matches("m~"));
    let odd = tenant.scenario.listing.clone();
    if token.is_some() {
        tenant.followed += 1;
        if odd.expired.contains(&tenant.followed) {
            let what =
                "The specified page token value has expired and can no longer be included in your request.";
            return error(400, "Directory_ExpiredPageToken", what);
        }
    }
    if let Ok(top) = top
        && odd.largest_page > 0
        && top > odd.largest_page
    {
        let what = format!("Cannot query data for more than {} objects.", odd.largest_page);
        return error(400, "Request_BadRequest", &what);
    }
    let skip = token.map_or(Ok(0), |skip| skip.trim_end_matches('e').parse::<u64>());
    let (Ok(top @ 1..=LARGEST_PAGE), Ok(skip)) = (top, skip) else {
        return error(400, "Request_BadRequest", "Invalid page size or skip token.");
    };
    // Before every page but the first stands an empty one, whose link ends with an `e`.
    let is_empty = odd.empty_pages && token.is_some_and(|token| !token.ends_with('e'));
    let from = if skip > 0 { skip.saturating_sub(odd.overlap) } else { 0 };
    let size = if is_empty { 0 } else { top + (skip - from) };
    let (ids, more) = tenant.directory.page(set, from, size);
    let mut value = Vec::with_capacity(ids.len());
    for id in &ids {
        value.push(shown(tenant, now, set, id, select));
        if share_of(id, "null object") < odd.null_objects {
            value.push(Value::Null);
        }
    }
    let mut page = json!({ "@odata.context": "$metadata#objects", "value": value });
    tenant.paged += 1;
    if more || is_empty {
        let host = match odd.foreign.contains(&tenant.paged) {
            true => "elsewhere.example",
            false => header(request, "host").unwrap_or("localhost"),
        };
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(query.iter().filter(|(name, _)| *name != "$skiptoken"));
        let token = if is_empty { format!("m~{skip}e") } else { format!("m~{}", skip.saturating_add(top)) };
        next.append_pair("$skiptoken", &token);
        let root = if odd.relative_links { String::new() } else { format!("http://{host}") };
        page["@odata.nextLink"] = json!(format!("{root}{}?{}", request.uri().path(), next.finish()));
    } else if odd.empty_last_link {
        page["@odata.nextLink"] = json!("");
    }
    tenant.with_percentage(Answer::json(200, &page).with("x-ms-resource-unit", units.max(1).to_string()))
}

/// An object as a read shows it, with what is odd about it.
fn shown(tenant: &Tenant, now: Duration, set: Set, id: &str, select: Option<&str>) -> Value {
    const ERRORS: &str = "serviceProvisioningErrors";
    let odd = &tenant.scenario.listing;
    let mut object = tenant.directory.show(set, id, select, now);
    if let Some(members) = object.as_object_mut()
        && members.contains_key(ERRORS)
    {
        if share_of(id, "absent") < odd.absent {
            members.remove(ERRORS);
        } else if share_of(id, "null") < odd.null {
            members.insert(ERRORS.to_owned(), Value::Null);
        }
    }
    object
}

/// The first word of a `$select` that objects of this kind do not have.
fn unknown_property(set: Set, select: &str) -> Option<&str> {
    let all = ["id", "displayName", "mail", "serviceProvisioningErrors", "onPremisesProvisioningErrors"];
    let of_users = ["userPrincipalName", "licenseAssignmentStates"];
    select
        .split(',')
        .map(str::trim)
        .find(|word| !(all.contains(word) || set == Set::Users && of_users.contains(word)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::router;
    use super::super::scenario::Scenario;
    use super::super::token::OPAQUE;
    use super::*;

    fn get(tenant: &mut Tenant, uri: &str) -> (u16, Value) {
        let request = Request::get(uri)
            .header("authorization", format!("Bearer {OPAQUE}"))
            .header("host", "h")
            .body(Bytes::new())
            .expect("a request");
        let answer = router::answer(tenant, Duration::ZERO, &request);
        (answer.status, serde_json::from_slice(&answer.body.1).unwrap_or_default())
    }

    #[test]
    fn pages_follow_their_links_to_everybody_once() {
        let scenario = Scenario::parse("[objects]\nusers = 250\nbroken = 0.5").expect("a scenario");
        let mut tenant = Tenant::new(scenario, Timestamp::UNIX_EPOCH);
        let mut uri = "/beta/users?$select=id,serviceProvisioningErrors&$top=99".to_owned();
        let (mut ids, mut broken) = (std::collections::BTreeSet::new(), 0);
        loop {
            let (status, page) = get(&mut tenant, &uri);
            assert_eq!(status, 200);
            for object in page["value"].as_array().expect("a page") {
                assert!(ids.insert(object["id"].to_string()) && object.get("displayName").is_none());
                broken += u64::from(object["serviceProvisioningErrors"][0]["isResolved"] == false);
            }
            match page["@odata.nextLink"].as_str() {
                Some(next) => next.trim_start_matches("http://h").clone_into(&mut uri),
                None => break,
            }
        }
        assert_eq!(ids.len(), 250);
        assert_eq!(broken, tenant.census(Set::Users, Duration::ZERO).unresolved);
    }

    #[test]
    fn errors_are_shown_only_when_selected_and_cannot_be_filtered() {
        let scenario = Scenario::parse("[objects]\nusers = 5\nbroken = 1.0").expect("a scenario");
        let mut tenant = Tenant::new(scenario, Timestamp::UNIX_EPOCH);
        let (_, whole) = get(&mut tenant, "/v1.0/users/user3@simulated.example");
        assert!(whole["id"].is_string() && whole.get("serviceProvisioningErrors").is_none());
        let filter = "/beta/users?$filter=serviceProvisioningErrors/any(x:x/isResolved%20eq%20false)";
        assert_eq!(get(&mut tenant, filter).1["error"]["code"], "Request_UnsupportedQuery");
        assert_eq!(get(&mut tenant, "/beta/users/user9@simulated.example").0, 404);
        assert_eq!(get(&mut tenant, "/beta/users?$top=1000").0, 400);
        let (status, page) = get(&mut tenant, &format!("/beta/users?$skiptoken=m~{}", u64::MAX));
        assert!(status == 200 && page["value"].as_array().is_some_and(Vec::is_empty), "{page}");
        for (path, status) in [
            ("/beta/users?$select=id,licenseAssignmentStates", 200),
            ("/beta/groups?$select=id,licenseAssignmentStates", 400),
            ("/beta/contacts?$select=userPrincipalName", 400),
            ("/beta/users/user3@simulated.example?$select=id,nonsense", 400),
        ] {
            assert_eq!(get(&mut tenant, path).0, status, "{path}");
        }
    }

    #[test]
    fn reads_meet_the_faults_that_writes_meet() {
        for (rules, path, status) in [
            ("faults.plain_503 = 1.0\nobjects.users = 5", "/beta/users", 503),
            ("faults.reset_after = 1.0\nobjects.users = 5", "/beta/users", 0),
            ("missing = 1.0", "/beta/users/a@b.c", 404),
        ] {
            let mut tenant = Tenant::new(Scenario::parse(rules).expect("a scenario"), Timestamp::UNIX_EPOCH);
            assert_eq!(get(&mut tenant, path).0, status, "{rules}");
        }
    }
}
