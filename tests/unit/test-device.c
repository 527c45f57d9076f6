/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"
#include "expect.h"

#include <linux/bpf.h>

#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

/* ---- access, numbers ---- */

static const struct {
        const char *text;
        uint32_t access;
        const char *canonical;
} accesses[] = {
        { "r", R, "r" }, { "w", W, "w" }, { "m", M, "m" }, { "rw", R | W, "rw" }, { "wr", R | W, "rw" },
        { "mr", R | M, "rm" }, { "wm", W | M, "wm" }, { "rwm", R | W | M, "rwm" }, { "mwr", R | W | M, "rwm" },
        { "wmr", R | W | M, "rwm" },
        { "" }, { "rr" }, { "rwr" }, { "rwmr" }, { "x" }, { "rx" }, { "R" }, { "RW" }, { " r" }, { "r " }, { "r,w" },
        { "-" }, { "0" }, { "rw\n" }, { "é" },
};

static void access_is_parsed(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(accesses); i++) {
                uint32_t access = 77;
                char buffer[4];

                g_assert_cmpint(device_access_parse(accesses[i].text, &access), ==, accesses[i].canonical != NULL);
                g_assert_cmpuint(access, ==, accesses[i].canonical ? accesses[i].access : 77);
                if (accesses[i].canonical)
                        g_assert_cmpstr(device_access_format(access, buffer), ==, accesses[i].canonical);
        }
}

static void access_may_be_none_to_format(void) {
        char buffer[4];

        g_assert_cmpstr(device_access_format(0, buffer), ==, "");
        g_assert_cmpstr(device_access_format(~0U, buffer), ==, "rwm");
}

static void numbers_are_parsed_and_formatted(void) {
        static const struct {
                const char *text;
                struct seal_device device;
        } cases[] = {
                { "c:1:3", { BPF_DEVCG_DEV_CHAR, 1, 3 } },
                { "b:4095:1048575", { BPF_DEVCG_DEV_BLOCK, 4095, 1048575 } },
                { "c:136:*", { BPF_DEVCG_DEV_CHAR, 136, SEAL_ANY } },
                { "b:*:*", { BPF_DEVCG_DEV_BLOCK, SEAL_ANY, SEAL_ANY } },
                { "c:*:5", { BPF_DEVCG_DEV_CHAR, SEAL_ANY, 5 } },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *text = device_format(&cases[i].device);
                struct seal_device device;

                g_assert_cmpstr(text, ==, cases[i].text);
                g_assert_true(device_numbers_parse(cases[i].text, &device));
                g_assert_cmpint(device_compare(&device, &cases[i].device), ==, 0);
        }
}

static void numbers_that_are_none(void) {
        static const char *const texts[] = { "", ":", "::", "c", "c:1", "c:1:2:3", "x:1:2", ":1:2", "cc:1:2", "c:-1:2",
                                             "c:1:4294967295", "c:4096:1", "c:1:1048576", "c:*1:2", "/dev/null" };

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
                struct seal_device device = { 7, 7, 7 };

                g_test_message("%s", texts[i]);
                g_assert_false(device_numbers_parse(texts[i], &device));
                g_assert_cmpuint(device.type + device.major + device.minor, ==, 21);
        }
}

static void devices_are_ordered(void) {
        static const char *const order[] = { "b:1:1", "b:2:0", "b:*:0", "c:0:9", "c:1:0", "c:1:1", "c:1:*", "c:*:*" };

        for (size_t i = 0; i < G_N_ELEMENTS(order); i++)
                for (size_t j = 0; j < G_N_ELEMENTS(order); j++) {
                        struct seal_device a, b;

                        g_assert_true(device_numbers_parse(order[i], &a) && device_numbers_parse(order[j], &b));
                        g_assert_cmpint(device_compare(&a, &b), ==, (i > j) - (i < j));
                }
}

/* ---- grants and lists ---- */

/* Lists in the tests are written as they are described: "c:1:3 rw, @pseudo r". Nothing here is a path. */
static GPtrArray *raw_list(const char *text) {
        static DeviceHost host = { -1, "Character devices:\n  1 mem\n  4 tty\n  5 tty\n\nBlock devices:\n  7 loop\n" };
        g_auto(GStrv) entries = g_strsplit(text, ", ", -1);
        GPtrArray *list = device_list_new();

        for (char **entry = entries; *entry; entry++) {
                g_auto(GStrv) words = g_strsplit(*entry, " ", 2);
                g_autoptr(GError) error = NULL;
                DeviceGrant *grant = device_grant_resolve(&host, words[0], words[1], &error);

                g_assert_no_error(error);
                device_list_add(list, grant);
        }
        return list;
}

static GPtrArray *list_of(const char *text) {
        GPtrArray *list = raw_list(text);

        device_list_merge(list);
        return list;
}

static void expect_list(const GPtrArray *list, const char *expected) {
        g_autofree char *text = device_list_describe(list);

        g_assert_cmpstr(text, ==, expected);
}

static void grants_are_counted(void) {
        static const DeviceRule rules[] = { { { BPF_DEVCG_DEV_CHAR, 1, 3 }, 0 }, { { BPF_DEVCG_DEV_CHAR, 1, 5 }, M } };
        DeviceGrant *grant = device_grant_new("pair", R | W, rules, 2);
        DeviceGrant *nothing = device_grant_new("nothing", R, NULL, 0);

        g_assert_true(device_grant_ref(grant) == grant);
        device_grant_unref(grant);
        g_assert_cmpstr(grant->what, ==, "pair");
        g_assert_cmpuint(grant->n_rules, ==, 2);
        g_assert_true(grant->rules != rules);
        for (size_t i = 0; i < grant->n_rules; i++)
                g_assert_cmpuint(grant->rules[i].access, ==, R | W);
        device_grant_unref(grant);
        device_grant_unref(nothing);
        device_grant_unref(NULL);
}

static const struct {
        const char *list, *merged;
} merges[] = {
        { "", "" },
        { "c:1:3 r", "c:1:3 r" },
        { "c:1:3 r, c:1:3 w", "c:1:3 rw" },
        { "c:1:3 r, c:1:5 r, c:1:3 m, c:1:5 w, c:1:3 r", "c:1:3 rm, c:1:5 rw" },
        { "@pseudo r, c:1:3 w, @pseudo m", "@pseudo rm, c:1:3 w" },
        { "c:1:3 r, c:001:03 w", "c:1:3 rw" },
        { "c:1:3 r, b:1:3 w, c:1:* m", "b:1:3 w, c:1:* m, c:1:3 r" },
};

static void names_are_merged(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(merges); i++) {
                g_autoptr(GPtrArray) list = list_of(merges[i].list);

                expect_list(list, merges[i].merged);
                device_list_merge(list);
                expect_list(list, merges[i].merged);
        }
}

/* A grant shared with another list must not change under it. */
static void merging_leaves_shared_grants_alone(void) {
        g_autoptr(GPtrArray) one = list_of("c:1:3 r"), other = list_of("c:1:3 w"), sum = device_list_union(one, other, NULL);

        expect_list(sum, "c:1:3 rw");
        expect_list(one, "c:1:3 r");
        expect_list(other, "c:1:3 w");
}

/* What the name stood for at first keeps its access and no more, and the newcomer gets only what was asked now. */
static void names_that_changed_meaning_widen_nothing(void) {
        static const DeviceRule before[] = { { { BPF_DEVCG_DEV_CHAR, 226, SEAL_ANY } } };
        static const DeviceRule after[] = { { { BPF_DEVCG_DEV_CHAR, 226, SEAL_ANY } }, { { BPF_DEVCG_DEV_CHAR, 240, SEAL_ANY } } };
        g_autoptr(GPtrArray) old = device_list_new(), new = device_list_new(), sum = NULL, both = NULL;

        device_list_add(old, device_grant_new("char-drm", R, before, 1));
        device_list_add(new, device_grant_new("char-drm", W, after, 2));
        sum = device_list_union(old, new, NULL);
        expect_list(sum, "c:226:* r, char-drm w");
        g_assert_cmpuint(device_list_access(sum, &after[0].device), ==, R | W);
        g_assert_cmpuint(device_list_access(sum, &after[1].device), ==, W);

        both = device_list_union(sum, old, NULL); /* and back again, as when a driver comes and goes */
        g_assert_cmpuint(device_list_access(both, &after[0].device), ==, R | W);
        g_assert_cmpuint(device_list_access(both, &after[1].device), ==, W);
}

static const struct {
        const char *list, *more, *sum;
} unions[] = {
        { "", "", "" },
        { "c:1:3 r", "", "c:1:3 r" },
        { "", "c:1:3 r", "c:1:3 r" },
        { "c:1:3 r", "c:1:5 w", "c:1:3 r, c:1:5 w" },
        { "@kvm rw, c:1:3 r", "c:1:3 w, @fuse rw", "@fuse rw, @kvm rw, c:1:3 rw" },
};

static void lists_are_united(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(unions); i++) {
                g_autoptr(GPtrArray) list = list_of(unions[i].list), more = list_of(unions[i].more);
                g_autoptr(GPtrArray) sum = device_list_union(list, more, NULL);

                expect_list(sum, unions[i].sum);
                expect_list(list, unions[i].list);
        }
}

static GPtrArray *numbered_list(unsigned first, unsigned n) {
        GPtrArray *list = device_list_new();

        for (unsigned i = first; i < first + n; i++) {
                DeviceRule rule = { { BPF_DEVCG_DEV_CHAR, 10, i } };
                g_autofree char *what = device_format(&rule.device);

                device_list_add(list, device_grant_new(what, R, &rule, 1));
        }
        return list;
}

/* What may be appended gives the union; what the union would merge or refuse may not. */
static void new_devices_may_be_appended(void) {
        static const struct {
                const char *list, *more;
                bool may;
        } cases[] = {
                { "", "c:1:3 r", true },
                { "c:1:3 r", "c:1:5 w", true },
                { "c:1:* r", "c:1:5 w", true },
                { "@fuse rw", "c:10:229 m", true },
                { "c:1:5 r, c:1:3 r", "c:1:3 w", false },
                { "c:1:3 r", "c:1:3 r", false },
                { "", "@pseudo r", false },
        };
        g_autoptr(GPtrArray) most = numbered_list(0, DEVICE_GRANTS_MAX), one = numbered_list(DEVICE_GRANTS_MAX, 1);

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GPtrArray) list = list_of(cases[i].list), more = list_of(cases[i].more);
                g_autoptr(GPtrArray) sum = device_list_union(list, more, NULL);

                g_test_message("%s + %s", cases[i].list, cases[i].more);
                g_assert_cmpint(device_list_may_append(list, more->pdata[0]), ==, cases[i].may);
                if (!cases[i].may)
                        continue;
                device_list_add(list, device_grant_ref(more->pdata[0]));
                g_assert_cmpuint(list->len, ==, sum->len);
                for (unsigned j = 0; j < sum->len; j++)
                        g_assert_true(list->pdata[j] == sum->pdata[j]);
        }
        g_assert_false(device_list_may_append(most, one->pdata[0]));
}

/* What is found alone leaves what the revocation leaves. */
static void one_device_may_be_dropped(void) {
        static const struct {
                const char *list, *revoked;
                int index; /* or -1 */
        } cases[] = {
                { "c:1:3 r", "c:1:3 r", 0 },
                { "c:1:5 rw, c:1:3 r, @fuse rw", "c:1:3 rwm", 1 },
                { "c:1:5 rw, @fuse rw", "c:10:229 rw", 1 },
                { "c:1:5 rw, @fuse rw", "@fuse rw", 1 },
                { "c:1:5 rw, @fuse rw", "c:10:* rw", 1 },
                { "c:1:5 r", "c:1:3 r", -1 },
                { "c:1:5 rw", "c:1:5 r", -1 },
                { "c:1:* r", "c:1:5 r", -1 },
                { "c:*:3 r, c:1:3 r", "c:1:3 r", -1 },
                { "c:1:3 r, c:1:5 r", "c:1:* r", -1 },
                { "@fuse rw, c:10:229 r", "@fuse rw", -1 },
                { "@pseudo rw", "c:1:3 rw", -1 },
                { "", "c:1:3 r", -1 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(GPtrArray) list = list_of(cases[i].list), revoked = list_of(cases[i].revoked), rest = NULL;
                unsigned index;

                g_test_message("%s - %s", cases[i].list, cases[i].revoked);
                g_assert_cmpint(device_list_find_alone(list, revoked->pdata[0], &index), ==, cases[i].index >= 0);
                if (cases[i].index < 0)
                        continue;
                g_assert_cmpint(index, ==, cases[i].index);
                rest = device_list_revoke(list, revoked, NULL);
                g_ptr_array_remove_index(list, index);
                g_assert_cmpuint(list->len, ==, rest->len);
                for (unsigned j = 0; j < rest->len; j++)
                        g_assert_true(list->pdata[j] == rest->pdata[j]);
        }
}

static void equal_grants_are_one(void) {
        static const DeviceRule rules[] = { { { BPF_DEVCG_DEV_CHAR, 1, 3 }, 0 }, { { BPF_DEVCG_DEV_CHAR, 1, 5 }, 0 } };
        g_autoptr(DeviceGrant) pair = device_grant_new("pair", R, rules, 2), again = device_grant_new("pair", R, rules, 2);
        g_autoptr(DeviceGrant) wider = device_grant_new("pair", R | W, rules, 2), other = device_grant_new("pair", R, rules, 1);

        g_assert_true(again == pair);
        g_assert_true(wider != pair && other != pair);
        g_assert_cmpuint(pair->rules[1].access, ==, R);
        g_assert_cmpuint(wider->rules[1].access, ==, R | W);
        g_clear_pointer(&pair, device_grant_unref);
        g_assert_cmpstr(again->what, ==, "pair");
}

static void rules_have_a_quota(void) {
        g_autofree DeviceRule *rules = g_new0(DeviceRule, DEVICE_RULES_MAX + 1);
        g_autoptr(GPtrArray) list = device_list_new();
        g_autoptr(GError) error = NULL;

        device_list_add(list, device_grant_new("char-*", R, rules, DEVICE_RULES_MAX));
        g_assert_true(device_list_check_size(list, &error));
        device_list_add(list, device_grant_new("c:1:3", R, rules, 1));
        g_assert_false(device_list_check_size(list, &error));
        expect_error(&error, CORDON_ERROR_QUOTA_EXCEEDED, "4097 rules", "4096", NULL);
}

static void unions_have_a_quota(void) {
        g_autoptr(GPtrArray) most = numbered_list(0, DEVICE_GRANTS_MAX), again = numbered_list(7, 1);
        g_autoptr(GPtrArray) more = numbered_list(DEVICE_GRANTS_MAX, 1), same = NULL;
        g_autoptr(GError) error = NULL;

        same = device_list_union(most, again, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(same->len, ==, DEVICE_GRANTS_MAX);
        g_assert_null(device_list_union(most, more, &error));
        expect_error(&error, CORDON_ERROR_QUOTA_EXCEEDED, "2049", "at most 2048", NULL);
}

/* `refused` is what the message must name, where the revocation is refused. */
static const struct {
        const char *list, *revoked, *rest, *refused;
} revocations[] = {
        { "", "c:1:3 r", "" },
        { "c:1:3 rw", "", "c:1:3 rw" },
        { "c:1:3 rw", "c:1:3 rw", "" },
        { "c:1:3 rw", "c:1:3 rwm", "" },
        { "c:1:3 rw", "c:1:3 w", "c:1:3 r" },
        { "c:1:3 rwm", "c:1:3 r, c:1:3 m", "c:1:3 w" },
        { "c:1:3 rw, c:1:5 rw", "c:1:5 rw", "c:1:3 rw" },
        /* Not granted. */
        { "c:1:3 rw", "c:1:5 rw", "c:1:3 rw" }, { "c:1:3 rw", "b:1:3 rw", "c:1:3 rw" }, { "c:1:3 r", "c:1:3 wm", "c:1:3 r" },
        { "c:1:3 r", "@kvm rwm", "c:1:3 r" },
        /* By whatever name it was granted. */
        { "@kvm rw", "c:10:232 rw", "" }, { "c:10:232 rw", "@kvm w", "c:10:232 r" }, { "@kvm rw", "@kvm w", "@kvm r" },
        { "@kvm rw, c:10:232 m, c:10:* r", "c:10:* rwm", "" },
        { "@pseudo rw, @kvm rw", "@pseudo rwm", "@kvm rw" }, { "@pseudo rw", "@pseudo w", "@pseudo r" },
        { "char-mem rw", "c:1:* w", "char-mem r" },
        /* A preset that loses a device is its other devices. */
        { "@sound rw", "c:14:* rw", "c:116:* rw" }, { "@sound rw", "c:14:* w", "c:116:* rw, c:14:* r" },
        { "@sound rw, c:14:* m", "c:14:* w", "c:116:* rw, c:14:* rm" },
        { "char-tty rw", "c:5:* rw", "c:4:* rw" },
        { "@pseudo r", "c:1:* r, c:136:* r, c:140:* r, c:141:* r, c:142:* r, c:143:* r, c:137:* r, c:138:* r",
          "c:139:* r, c:5:0 r, c:5:2 r" },
        /* Wildcards take what is below them… */
        { "c:1:3 rw, c:1:5 r, c:5:0 rw", "c:1:* w", "c:1:3 r, c:1:5 r, c:5:0 rw" },
        { "c:1:3 rw, b:8:0 rw", "c:*:* rwm", "b:8:0 rw" }, { "c:1:* rw", "c:*:* rw", "" },
        { "c:1:3 rw, c:1:5 rw", "c:*:3 rw", "c:1:5 rw" }, { "c:*:3 rw", "c:*:3 r", "c:*:3 w" },
        /* …but nothing is cut out of them. */
        { "c:1:* rw", "c:1:3 r", NULL, "c:1:*" }, { "c:*:* rw", "c:1:* r", NULL, "c:*:*" },
        { "c:*:3 rw", "c:1:3 r", NULL, "c:*:3" }, { "c:1:* rw", "c:*:3 r", NULL, "c:1:*" },
        { "c:*:3 rw", "c:1:* r", NULL, "c:*:3" }, { "c:1:3 rw, c:1:* r", "c:1:3 r", NULL, "c:1:*" },
        { "@pseudo rw", "c:136:4 r", NULL, "@pseudo" }, { "char-mem r", "c:1:3 r", NULL, "char-mem" },
        { "c:1:* r", "c:1:3 w", "c:1:* r" }, { "c:1:* rw", "c:*:3 m", "c:1:* rw" }, { "c:1:* rw", "b:1:3 rw", "c:1:* rw" },
        { "c:1:* rw", "c:2:3 rw", "c:1:* rw" }, { "c:1:* rw", "c:*:3 rwm, c:1:* w", NULL, "c:1:*" },
        /* In whatever order it is said. */
        { "c:1:* rw", "c:1:* rw, c:1:3 rw", "" }, { "c:1:* rw", "c:1:3 rw, c:1:* rw", "" },
        { "c:1:* rw", "c:1:3 w, c:1:* w", "c:1:* r" },
};

static void devices_are_revoked(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(revocations); i++) {
                g_autoptr(GPtrArray) list = list_of(revocations[i].list), revoked = list_of(revocations[i].revoked);
                g_autofree char *before = device_list_describe(list);
                g_autoptr(GError) error = NULL;
                g_autoptr(GPtrArray) rest = device_list_revoke(list, revoked, &error);

                g_test_message("%s without %s", revocations[i].list, revocations[i].revoked);
                expect_list(list, before);
                if (revocations[i].rest) {
                        g_assert_no_error(error);
                        expect_list(rest, revocations[i].rest);
                } else {
                        g_assert_null(rest);
                        expect_error(&error, CORDON_ERROR_INVALID_DEVICE, revocations[i].refused, "cannot be revoked alone",
                                     NULL);
                }
        }
}

/* `excess` is the grant of `inner` that `outer` does not cover. */
static const struct {
        const char *outer, *inner, *excess;
} coverings[] = {
        { "", "" }, { "c:1:3 r", "" }, { "", "c:1:3 r", "c:1:3" },
        { "c:1:3 rw", "c:1:3 rw" }, { "c:1:3 rw", "c:1:3 w" }, { "c:1:3 r", "c:1:3 rw", "c:1:3" },
        { "c:1:* rw", "c:1:3 rw" }, { "c:1:3 rw", "c:1:* rw", "c:1:*" }, { "c:*:* rwm", "c:1:* rwm" },
        { "c:*:3 r", "c:1:3 r" }, { "c:*:3 r", "c:1:* r", "c:1:*" }, { "c:1:* r", "c:*:3 r", "c:*:3" },
        { "c:*:* r", "c:*:3 r" }, { "c:*:3 r", "c:*:* r", "c:*:*" },
        { "b:*:* rwm", "c:1:3 r", "c:1:3" },
        /* Access may come from several grants, as it does in the kernel. */
        { "c:1:3 r, c:1:* w, c:*:* m", "c:1:3 rwm" }, { "c:1:3 r, c:1:* w, c:*:* m", "c:1:5 rwm", "c:1:5" },
        { "c:1:3 r, c:1:5 w", "c:1:3 rw", "c:1:3" },
        { "@pseudo rw", "c:1:3 rw, c:136:7 rw" }, { "@pseudo rw", "c:1:3 rw, @kvm r, c:1:5 r", "@kvm" },
        { "c:1:* rw, c:5:* rw", "@pseudo rw", "@pseudo" }, { "c:*:* rw", "@pseudo rw" },
};

static void lists_cover_lists(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(coverings); i++) {
                g_autoptr(GPtrArray) outer = list_of(coverings[i].outer), inner = list_of(coverings[i].inner);
                const DeviceGrant *excess = NULL;

                g_test_message("%s covers %s", coverings[i].outer, coverings[i].inner);
                g_assert_cmpint(device_list_covers(outer, inner, &excess), ==, coverings[i].excess == NULL);
                g_assert_cmpstr(excess ? excess->what : NULL, ==, coverings[i].excess);
                g_assert_cmpint(device_list_covers(outer, inner, NULL), ==, coverings[i].excess == NULL);
        }
}

/* `common` is what of `list` the rules of `others` give, too. */
static const struct {
        const char *list, *others, *common;
} intersections[] = {
        { "", "c:1:3 r", "" }, { "c:1:3 r", "", "" }, { "c:1:3 rw", "c:1:3 wm", "c:1:3 w" }, { "c:1:3 r", "c:1:3 w", "" },
        { "c:1:* rw", "c:1:3 r, c:1:5 wm, c:5:1 r", "c:1:3 r, c:1:5 w" }, { "c:1:3 r, c:1:5 w", "c:1:* r", "c:1:3 r" },
        { "c:*:* rw", "b:1:3 rw, c:1:* r", "c:1:* r" }, { "c:1:* r", "c:*:3 r", "" },
        { "c:1:3 rw", "c:1:3 r, c:1:* w", "c:1:3 rw" },
        /* A name stays where nothing of it is missing. */
        { "@kvm rw, @sound r", "c:10:* rwm, c:14:* r", "@kvm rw, c:14:* r" },
};

static void common_part_is_kept(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(intersections); i++) {
                g_autoptr(GPtrArray) list = list_of(intersections[i].list), others = list_of(intersections[i].others);
                g_autoptr(GArray) rules = device_list_rules(others);
                g_autoptr(GPtrArray) common = device_list_within(list, rules);

                g_test_message("%s within %s", intersections[i].list, intersections[i].others);
                expect_list(common, intersections[i].common);
                g_assert_true(device_list_covers(list, common, NULL) && device_list_covers(others, common, NULL));
        }
}

static void everything_covers_everything(void) {
        g_autoptr(GPtrArray) all = device_list_everything(), some = list_of("c:*:* rwm, b:*:* rwm, @pseudo rwm, block-* rwm");

        expect_list(all, "b:*:* rwm, c:*:* rwm");
        g_assert_true(device_list_covers(all, some, NULL));
        g_assert_true(device_list_covers(all, all, NULL));
}

/* Keys are compared, not devices: a wildcard grants nothing under the key of a device. */
static void access_is_of_one_key(void) {
        static const struct {
                const char *key;
                uint32_t access;
        } cases[] = { { "c:1:3", R | W }, { "c:1:*", M }, { "c:1:5", R }, { "c:1:7", R }, { "c:5:7", 0 }, { "b:1:3", 0 },
                      { "c:*:*", 0 }, { "c:136:*", R }, { "c:136:1", 0 } };
        g_autoptr(GPtrArray) list = list_of("c:1:3 w, c:1:* m, @pseudo r");

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                struct seal_device key;

                g_assert_true(device_numbers_parse(cases[i].key, &key));
                g_assert_cmpuint(device_list_access(list, &key), ==, cases[i].access);
        }
}

static const struct {
        const char *list, *rules;
} rule_cases[] = {
        { "", "" },
        { "c:1:3 r", "c:1:3 r;" },
        { "c:1:5 r, c:1:3 w, b:8:0 m", "b:8:0 m;c:1:3 w;c:1:5 r;" },
        { "c:10:232 r, @kvm w, char-mem r, c:1:* m", "c:1:* rm;c:10:232 rw;" },
        { "@sound rw, c:116:1 r, c:14:* m", "c:14:* rwm;c:116:1 r;c:116:* rw;" },
        { "char-* r, char-tty w", "c:1:* r;c:4:* rw;c:5:* rw;" },
        { "c:*:* r, c:1:3 r, c:*:3 r", "c:1:3 r;c:*:3 r;c:*:* r;" },
};

static void rules_are_merged_and_sorted(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(rule_cases); i++) {
                g_autoptr(GPtrArray) list = list_of(rule_cases[i].list);
                g_autoptr(GArray) rules = device_list_rules(list);
                g_autoptr(GString) text = g_string_new(NULL);

                for (unsigned j = 0; j < rules->len; j++) {
                        const DeviceRule *rule = &g_array_index(rules, DeviceRule, j);
                        g_autofree char *device = device_format(&rule->device);
                        char access[4];

                        g_string_append_printf(text, "%s %s;", device, device_access_format(rule->access, access));
                        g_assert_cmpuint(device_list_access(list, &rule->device), ==, rule->access);
                }
                g_assert_cmpstr(text->str, ==, rule_cases[i].rules);
        }
}

/* ---- text ---- */

static const struct {
        const char *list, *text;
} serials[] = {
        { "", "" },
        { "c:1:3 wr", "c:1:3\trw\tc:1:3\n" },
        { "@sound m, b:8:* r", "@sound\tm\tc:116:*\tc:14:*\nb:8:*\tr\tb:8:*\n" },
        { "char-tty rwm, c:*:* r", "char-tty\trwm\tc:4:*\tc:5:*\nc:*:*\tr\tc:*:*\n" },
};

static void lists_are_stored_and_read(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(serials); i++) {
                g_autoptr(GPtrArray) list = list_of(serials[i].list), copy = NULL;
                g_autofree char *text = device_list_serialize(list), *again = NULL;

                g_assert_cmpstr(text, ==, serials[i].text);
                copy = device_list_deserialize(text);
                again = device_list_serialize(copy);
                g_assert_cmpstr(again, ==, text);
                g_assert_true(device_list_covers(list, copy, NULL) && device_list_covers(copy, list, NULL));
        }
}

/* A path is what it was, whatever /dev holds now. */
static void paths_are_read_without_looking(void) {
        g_autoptr(GPtrArray) list = device_list_deserialize("/dev/no such, node é\trw\tb:8:16\n");

        expect_list(list, "/dev/no such, node é rw");
}

static const char *const damaged[] = {
        "\n", "\n\n", "\t\n", "x\n", "c:1:3\n", "c:1:3\trw\n", "c:1:3\trw\t\n", "c:1:3\t\tc:1:3\n", "\trw\tc:1:3\n",
        "c:1:3\tx\tc:1:3\n", "c:1:3\trr\tc:1:3\n", "c:1:3\trw\tc:1\n", "c:1:3\trw\tc:1:3\t\n", "c:1:3\trw\tc:1:3 \n",
        "c:1:3\trw\tx:1:3\n", "c:1:3\trw\tc:4096:3\n", "c:1:3 rw c:1:3\n", "c:1:3\trw\tc:1:3\r\n",
        /* Cut, or grown together. */
        "c:1:3\trw\tc:1:3", "c:1:35\trw\tc:1:3", "c:1:3\trw\tc:1:3\nc:1:5\trw\tc:1:", "c:1:3\trw\tc:1:3\n\n",
        "c:1:3\trw\tc:1:3\n\nc:1:5\trw\tc:1:5\n", "\nc:1:3\trw\tc:1:3\n", "c:1:3\trw\tc:1:3\nx\n",
};

static void damaged_text_is_no_list(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(damaged); i++) {
                g_test_message("%s", damaged[i]);
                g_assert_null(device_list_deserialize(damaged[i]));
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/device/access/is-parsed", access_is_parsed);
        g_test_add_func("/device/access/may-be-none-to-format", access_may_be_none_to_format);
        g_test_add_func("/device/numbers/are-parsed-and-formatted", numbers_are_parsed_and_formatted);
        g_test_add_func("/device/numbers/that-are-none", numbers_that_are_none);
        g_test_add_func("/device/numbers/are-ordered", devices_are_ordered);
        g_test_add_func("/device/grants/are-counted", grants_are_counted);
        g_test_add_func("/device/grants/that-are-equal", equal_grants_are_one);
        g_test_add_func("/device/merge/names", names_are_merged);
        g_test_add_func("/device/merge/leaves-shared-grants-alone", merging_leaves_shared_grants_alone);
        g_test_add_func("/device/merge/names-that-changed-meaning", names_that_changed_meaning_widen_nothing);
        g_test_add_func("/device/union/lists", lists_are_united);
        g_test_add_func("/device/union/appends", new_devices_may_be_appended);
        g_test_add_func("/device/union/quota", unions_have_a_quota);
        g_test_add_func("/device/union/rules-have-a-quota", rules_have_a_quota);
        g_test_add_func("/device/revoke", devices_are_revoked);
        g_test_add_func("/device/revoke/drops", one_device_may_be_dropped);
        g_test_add_func("/device/covers/lists", lists_cover_lists);
        g_test_add_func("/device/within", common_part_is_kept);
        g_test_add_func("/device/covers/everything", everything_covers_everything);
        g_test_add_func("/device/access/is-of-one-key", access_is_of_one_key);
        g_test_add_func("/device/rules/are-merged-and-sorted", rules_are_merged_and_sorted);
        g_test_add_func("/device/text/round-trip", lists_are_stored_and_read);
        g_test_add_func("/device/text/paths-are-not-looked-up", paths_are_read_without_looking);
        g_test_add_func("/device/text/damaged", damaged_text_is_no_list);
        return g_test_run();
}
