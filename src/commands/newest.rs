//! Why a run was chosen, if none was named.

/// The newest run, of a tenant or of all.
pub(super) fn the_newest(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| "the newest".to_owned(), |tenant| format!("the newest of {tenant}"))
}
