/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expect.h"

static void is_set_with_its_message(void) {
        g_autoptr(GError) error = NULL;

        g_assert_false(cordon_fail(&error, CORDON_ERROR_BUSY, "%s has %u", "web1", 3U));
        g_assert_error(error, CORDON_ERROR, CORDON_ERROR_BUSY);
        g_assert_cmpstr(error->message, ==, "web1 has 3");
}

static void nobody_needs_to_listen(void) {
        g_assert_false(cordon_fail(NULL, CORDON_ERROR_BUSY, "%s", "unheard"));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/error/is-set-with-its-message", is_set_with_its_message);
        g_test_add_func("/error/nobody-needs-to-listen", nobody_needs_to_listen);
        return g_test_run();
}
