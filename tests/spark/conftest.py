"""One Spark session for the tests of a module that need no other."""

import pytest

from maggy.driver.sparksession import spark_session


@pytest.fixture(scope="module")
def spark():
    """Give a session on `local[4]`, as maggy itself would start it, and stop it at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASTER", "local[4]")
        session = spark_session()
        assert session.sparkContext.master == "local[4]"
        yield session
        session.stop()
