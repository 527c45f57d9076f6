/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guard.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "guard.skel.h"

#define MARK "guard"
#define QUERY_MAX 256   /* of all hooks together */
#define PLACE_TRIES 100 /* for a place that another version's program had */
#define PLACE_USEC 10000

typedef struct GuardProgram {
        char name[BPF_OBJ_NAME_LEN];
        uint8_t tag[BPF_TAG_SIZE];
        int fd;
} GuardProgram;

struct Guard {
        GArray *programs; /* of GuardProgram */
};

bool guard_policy_parse(const char *text, GuardPolicy *ret_policy) {
        static const char *const names[] = { "auto", "require", "off" };

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
                if (strcmp(text, names[i]) == 0) {
                        *ret_policy = (GuardPolicy) i;
                        return true;
                }
        return false;
}

static void program_clear(void *data) {
        fd_close(&((GuardProgram *) data)->fd);
}

void guard_free(Guard *guard) {
        if (!guard)
                return;
        g_array_unref(guard->programs);
        g_free(guard);
}

/* ---- loading ---- */

/* How many arguments a hook has in the running kernel, or -1. */
static int hook_arguments(const char *hook) {
        g_autofree char *function = g_strconcat("bpf_lsm_", hook, NULL);
        struct btf *btf = btf__load_vmlinux_btf();
        const struct btf_type *type;
        int id, n = -1;

        if (!btf)
                return -1;
        id = btf__find_by_name_kind(btf, function, BTF_KIND_FUNC);
        if (id > 0) {
                type = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
                n = btf_vlen(type);
        }
        btf__free(btf);
        return n;
}

static bool describe(GuardProgram *program) {
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(program->fd, &info, &size) < 0)
                return false;
        g_strlcpy(program->name, info.name, sizeof(program->name));
        memcpy(program->tag, info.tag, sizeof(program->tag));
        return true;
}

static bool keep_programs(Guard *guard, struct guard_bpf *skeleton) {
        struct bpf_program *loaded;

        bpf_object__for_each_program(loaded, skeleton->obj) {
                GuardProgram program = {};

                if (!bpf_program__autoload(loaded))
                        continue;
                program.fd = fcntl(bpf_program__fd(loaded), F_DUPFD_CLOEXEC, 3);
                g_array_append_val(guard->programs, program);
                if (program.fd < 0 || !describe(&g_array_index(guard->programs, GuardProgram, guard->programs->len - 1)))
                        return false;
        }
        return true;
}

static const char *reason(int negative_errno) {
        g_autofree char *lsm = NULL;

        /* The list is in securityfs, which need not be mounted; then the kernel's own word has to do. */
        if (g_file_get_contents("/sys/kernel/security/lsm", &lsm, NULL, NULL) && !strstr(lsm, "bpf"))
                return "bpf is not in the kernel's list of LSMs (boot with lsm=…,bpf)";
        if (negative_errno == -EPERM)
                return "this kernel's policy permits no LSM programs";
        return g_strerror(-negative_errno);
}

Guard *guard_load(unsigned domain_level, GError **error) {
        g_autoptr(Guard) guard = g_new0(Guard, 1);
        struct guard_bpf *skeleton = guard_bpf__open();
        int r = -errno;

        guard->programs = g_array_new(false, false, sizeof(GuardProgram));
        g_array_set_clear_func(guard->programs, program_clear);
        if (skeleton) {
                /* (dentry, attr) up to 6.8, (idmap, dentry, attr) since. */
                bool has_idmap = hook_arguments("inode_setattr") == 3;

                bpf_program__set_autoload(skeleton->progs.guard_setattr, has_idmap);
                bpf_program__set_autoload(skeleton->progs.guard_setattr2, !has_idmap);
                skeleton->rodata->domain_level = domain_level;
                r = guard_bpf__load(skeleton);
                if (r == 0 && !keep_programs(guard, skeleton))
                        r = -errno;
        }
        guard_bpf__destroy(skeleton);
        malloc_trim(0); /* the kernel's BTF was in memory, several MiB of it */
        if (r < 0) {
                cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "the guard does not load: %s", reason(r));
                return NULL;
        }
        return g_steal_pointer(&guard);
}

/* ---- attaching ---- */

static bool attach_fail(GError **error, Group *driver, const char *what, int negative_errno) {
        return cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "%s: guard program %s: %s", group_path(driver), what,
                           g_strerror(-negative_errno));
}

/* Puts one program in force, given those that are attached now. */
static bool attach_program(const GuardProgram *program, Group *driver, const GArray *attached, GError **error) {
        LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_ALLOW_MULTI);
        int r;

        for (unsigned i = 0; i < attached->len; i++) {
                const GuardProgram *other = &g_array_index(attached, GuardProgram, i);

                if (strcmp(other->name, program->name) != 0)
                        continue;
                if (memcmp(other->tag, program->tag, sizeof(program->tag)) == 0)
                        return true;
                options.flags |= BPF_F_REPLACE;
                options.replace_prog_fd = other->fd;
        }
        r = bpf_prog_attach_opts(program->fd, group_fd(driver), BPF_LSM_CGROUP, &options);
        return r >= 0 || attach_fail(error, driver, program->name, r);
}

/* The programs of the guard, of any version, attached to the group itself. */
static GArray *query(Group *driver, GError **error) {
        g_autoptr(GArray) attached = g_array_new(false, false, sizeof(GuardProgram));
        uint32_t ids[QUERY_MAX], flags[QUERY_MAX];
        LIBBPF_OPTS(bpf_prog_query_opts, options, .prog_ids = ids, .prog_cnt = QUERY_MAX, .prog_attach_flags = flags);
        int r = bpf_prog_query_opts(group_fd(driver), BPF_LSM_CGROUP, &options);

        if (r < 0) {
                attach_fail(error, driver, "query", r);
                return NULL;
        }
        g_array_set_clear_func(attached, program_clear);
        for (uint32_t i = 0; i < options.prog_cnt; i++) {
                GuardProgram program = { .fd = bpf_prog_get_fd_by_id(ids[i]) };

                if (program.fd >= 0 && describe(&program) && g_str_has_prefix(program.name, "guard_"))
                        g_array_append_val(attached, program);
                else
                        fd_close(&program.fd);
        }
        return g_steal_pointer(&attached);
}

/* "SHA256 N": of the object file that the programs are loaded from, and how many they are on this kernel. */
static char *mark(unsigned n_programs) {
        size_t size;
        const void *bytes = guard_bpf__elf_bytes(&size);
        g_autofree char *checksum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, size);

        return g_strdup_printf("%s %u", checksum, n_programs);
}

bool guard_is_in_force(Group *driver) {
        g_autofree char *found = group_get_attribute(driver, MARK, NULL), *expected = NULL;
        g_autoptr(GArray) attached = found ? query(driver, NULL) : NULL;

        if (!attached)
                return false;
        expected = mark(attached->len);
        return attached->len > 0 && strcmp(found, expected) == 0;
}

static bool attach_all(Guard *guard, Group *driver, const GArray *attached, GError **error) {
        for (unsigned i = 0; i < guard->programs->len; i++)
                if (!attach_program(&g_array_index(guard->programs, GuardProgram, i), driver, attached, error))
                        return false;
        return true;
}

static bool has_program(Guard *guard, const char *name) {
        for (unsigned i = 0; i < guard->programs->len; i++)
                if (strcmp(g_array_index(guard->programs, GuardProgram, i).name, name) == 0)
                        return true;
        return false;
}

/* Takes off what another version had and this one has not, which it must not need any more. Returns how many. */
static unsigned detach_others(Guard *guard, Group *driver, const GArray *attached) {
        unsigned n = 0;

        for (unsigned i = 0; i < attached->len; i++) {
                const GuardProgram *other = &g_array_index(attached, GuardProgram, i);

                if (!has_program(guard, other->name) && bpf_prog_detach2(other->fd, group_fd(driver), BPF_LSM_CGROUP) == 0)
                        n++;
        }
        return n;
}

/* The kernel gives a place back when it has freed what was detached, which it does a moment later and tells nobody. */
static bool attach_again(Guard *guard, Group *driver, GError **cause) {
        for (int i = 0; i < PLACE_TRIES; i++) {
                g_autoptr(GArray) attached = NULL;

                g_clear_error(cause);
                attached = query(driver, cause);
                if (attached && attach_all(guard, driver, attached, cause))
                        return true;
                g_usleep(PLACE_USEC);
        }
        return false;
}

bool guard_attach(Guard *guard, Group *driver, GError **error) {
        g_autoptr(GArray) attached = query(driver, error);
        g_autoptr(GError) cause = NULL;
        g_autofree char *text = NULL;
        bool all;

        if (!attached)
                return false;
        all = attach_all(guard, driver, attached, &cause);
        if (detach_others(guard, driver, attached) > 0 && !all)
                all = attach_again(guard, driver, &cause); /* they had the places that were needed */
        if (!all) {
                g_propagate_error(error, g_steal_pointer(&cause));
                return false;
        }
        text = mark(guard->programs->len);
        return group_set_attribute(driver, MARK, text, error);
}
