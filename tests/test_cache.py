"""Files kept for later starts lie where nobody but the user can put one."""

import pytest

from pcdarts import cache


def test_a_user_without_a_home_keeps_files_in_a_folder_of_their_own(monkeypatch, tmp_path):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", no_home)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    assert cache.cache_folder().parent == tmp_path


@pytest.mark.parametrize(("mode", "private"), [(0o700, True), (0o755, True), (0o775, False), (0o757, False)])
def test_a_folder_that_others_may_write_to_is_not_private_and_gets_no_file(tmp_path, mode, private):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    assert cache.is_private(folder) == private
    if private:
        cache.replace_file(b"kept", folder / "file")
        assert (folder / "file").read_bytes() == b"kept"
    else:
        with pytest.raises(PermissionError, match="others may write to it"):
            cache.replace_file(b"kept", folder / "file")
        assert not list(folder.iterdir())
