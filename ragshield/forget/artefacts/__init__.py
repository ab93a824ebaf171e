"""What frameworks keep beside a store: docstores, record managers, parents, caches."""
