# SPDX-License-Identifier: LGPL-2.1-or-later
def pytest_configure(config):
    config.addinivalue_line("markers", "unified: of what only cgroup2's controllers do, or what it does wherever they are")
