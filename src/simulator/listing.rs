//! Reads: pages of a collection, and single objects.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};

use super::directory::{Collection, share_of};
use super::quota::RequestCost;
use super::tenant::{Tenant, decode_key, header, not_found};
use super::wire::{SimulatedResponse, error};

/// Page size without `$top`, and the largest `$top`.
const DEFAULT_PAGE_SIZE: u64 = 100;
const MAX_PAGE_SIZE: u64 = 999;

/// Answers a read of `collection`, or of its object with this `key`.
pub(super) fn answer(
    tenant: &mut Tenant,
    now: Duration,
    collection: Collection,
    key: Option<&str>,
    request: &Request<Bytes>,
) -> SimulatedResponse {
    let answer = decide(tenant, now, collection, key, request);
    tenant.ledger.record_answer(answer.status);
    answer
}

fn decide(
    tenant: &mut Tenant,
    now: Duration,
    collection: Collection,
    key: Option<&str>,
    request: &Request<Bytes>,
) -> SimulatedResponse {
    tenant.ledger.reads += 1;
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()).into_owned().collect();
    let select = query.get("$select").map(String::as_str);
    let top = query.get("$top").map_or(Ok(DEFAULT_PAGE_SIZE), |top| top.parse::<u64>());
    let small = matches!(top, Ok(top) if top < 20);
    let units = if key.is_none() { 2 } else { 1 } - i32::from(select.is_some()) - i32::from(small);
    if let Some(throttled) =
        tenant.check_limits(now, RequestCost { writes: 0.0, units: f64::from(units.max(1)) })
    {
        return throttled;
    }
    if let Some((answer, _)) = tenant.draw_fault(now) {
        return answer;
    }
    if let Some(unknown) = select.and_then(|select| unknown_property(collection, select)) {
        let what = format!(
            "Could not find a property named '{unknown}' on type 'microsoft.graph.{}'.",
            collection.type_name()
        );
        return error(400, "BadRequest", &what);
    }
    if query.contains_key("$filter") {
        return error(400, "Request_UnsupportedQuery", "Unsupported query.");
    }
    if let Some(key) = key {
        let Some((id, _)) = decode_key(key) else { return error(404, "UnknownError", "") };
        return match tenant.resolve(collection, &id) {
            Some(found) if share_of(&found, "read") < tenant.scenario.listing.forbidden => error(
                403,
                "Authorization_RequestDenied",
                "Insufficient privileges to complete the operation.",
            ),
            Some(found) => {
                let answer =
                    SimulatedResponse::json(200, &shown_with_faults(tenant, now, collection, &found, select));
                tenant.with_percentage(answer.with("x-ms-resource-unit", units.max(1).to_string()))
            }
            None => not_found(&id),
        };
    }
    let token = query.get("$skiptoken").map(|token| token.trim_start_matches("m~"));
    let faults = tenant.scenario.listing.clone();
    if token.is_some() {
        tenant.next_page_requests += 1;
        if faults.expired.contains(&tenant.next_page_requests) {
            let what =
                "The specified page token value has expired and can no longer be included in your request.";
            return error(400, "Directory_ExpiredPageToken", what);
        }
    }
    if let Ok(top) = top
        && faults.largest_page > 0
        && top > faults.largest_page
    {
        let what = format!("Cannot query data for more than {} objects.", faults.largest_page);
        return error(400, "Request_BadRequest", &what);
    }
    let skip = token.map_or(Ok(0), |skip| skip.trim_end_matches('e').parse::<u64>());
    let (Ok(top @ 1..=MAX_PAGE_SIZE), Ok(skip)) = (top, skip) else {
        return error(400, "Request_BadRequest", "Invalid page size or skip token.");
    };
    // Every page but the first is preceded by an empty page, whose skip token ends with an `e`.
    let is_empty = faults.empty_pages && token.is_some_and(|token| !token.ends_with('e'));
    let from = if skip > 0 { skip.saturating_sub(faults.overlap) } else { 0 };
    let size = if is_empty { 0 } else { top + (skip - from) };
    let (ids, more) = tenant.directory.page(collection, from, size);
    let mut value = Vec::with_capacity(ids.len());
    for id in &ids {
        value.push(shown_with_faults(tenant, now, collection, id, select));
        if share_of(id, "null object") < faults.null_objects {
            value.push(Value::Null);
        }
    }
    let mut page = json!({ "@odata.context": "$metadata#objects", "value": value });
    tenant.pages_sent += 1;
    if more || is_empty {
        let host = match faults.foreign.contains(&tenant.pages_sent) {
            true => "elsewhere.example",
            false => header(request, "host").unwrap_or("localhost"),
        };
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(query.iter().filter(|(name, _)| *name != "$skiptoken"));
        let token = if is_empty { format!("m~{skip}e") } else { format!("m~{}", skip.saturating_add(top)) };
        next.append_pair("$skiptoken", &token);
        let root = if faults.relative_links { String::new() } else { format!("http://{host}") };
        page["@odata.nextLink"] = json!(format!("{root}{}?{}", request.uri().path(), next.finish()));
    } else if faults.empty_last_link {
        page["@odata.nextLink"] = json!("");
    }
    tenant.with_percentage(
        SimulatedResponse::json(200, &page).with("x-ms-resource-unit", units.max(1).to_string()),
    )
}

/// Returns an object as a read shows it, with the faults of the scenario.
fn shown_with_faults(
    tenant: &Tenant,
    now: Duration,
    collection: Collection,
    id: &str,
    select: Option<&str>,
) -> Value {
    const ERRORS: &str = "serviceProvisioningErrors";
    let faults = &tenant.scenario.listing;
    let mut object = tenant.directory.show(collection, id, select, now);
    if let Some(members) = object.as_object_mut()
        && members.contains_key(ERRORS)
    {
        if share_of(id, "absent") < faults.absent {
            members.remove(ERRORS);
        } else if share_of(id, "null") < faults.null {
            members.insert(ERRORS.to_owned(), Value::Null);
        }
    }
    object
}

/// Returns the first property in `select` that objects of `collection` do not have.
fn unknown_property(collection: Collection, select: &str) -> Option<&str> {
    let all = ["id", "displayName", "mail", "serviceProvisioningErrors", "onPremisesProvisioningErrors"];
    let of_users = ["userPrincipalName", "licenseAssignmentStates"];
    select
        .split(',')
        .map(str::trim)
        .find(|word| !(all.contains(word) || collection == Collection::Users && of_users.contains(word)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::router;
    use super::super::scenario::Scenario;
    use super::super::token::OPAQUE_TOKEN;
    use super::*;

    fn get(tenant: &mut Tenant, uri: &str) -> (u16, Value) {
        let request = Request::get(uri)
            .header("authorization", format!("Bearer {OPAQUE_TOKEN}"))
            .header("host", "h")
            .body(Bytes::new())
            .expect("a request");
        let answer = router::answer(tenant, Duration::ZERO, &request);
        (answer.status, serde_json::from_slice(&answer.body.1).unwrap_or_default())
    }

    #[test]
    fn next_links_lead_to_every_object_once() {
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
        assert_eq!(broken, tenant.error_counts(Collection::Users, Duration::ZERO).unresolved);
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
    fn reads_get_the_same_faults_as_writes() {
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
