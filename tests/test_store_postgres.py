"""The store in PostgreSQL: the contract, on a real server, and what is peculiar to it."""

from contextlib import closing

import pytest

from maggy.store import open_store
from maggy.testing.store_contract import StoreContract


@pytest.fixture
def url(postgres):
    return postgres.url()


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, url):
        with closing(open_store(url)) as store:
            yield store

    def again(self, store):
        return open_store(str(store))
