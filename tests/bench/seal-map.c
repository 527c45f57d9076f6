/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal-map.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "bpf/seal.h"

#define MAPS_MAX 16
#define MAJOR_FIRST 200
#define MINORS 256

static int find_map(int program) {
        uint32_t ids[MAPS_MAX];
        struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t) ids };
        uint32_t size = sizeof(info);

        must(bpf_obj_get_info_by_fd(program, &info, &size));
        for (uint32_t i = 0; i < info.nr_map_ids; i++) {
                struct bpf_map_info map = {};
                int fd = must(bpf_map_get_fd_by_id(ids[i]));

                size = sizeof(map);
                must(bpf_obj_get_info_by_fd(fd, &map, &size));
                if (strcmp(map.name, "rules") == 0)
                        return fd;
                close(fd);
        }
        return -1;
}

int seal_map_open(int driver) {
        uint32_t id, n = 1;
        int program, map;

        must(bpf_prog_query(driver, BPF_CGROUP_DEVICE, 0, NULL, &id, &n));
        program = must(bpf_prog_get_fd_by_id(id));
        map = find_map(program);
        close(program);
        return must(map);
}

static __u64 id_of(int directory) {
        struct stat st;

        must(fstat(directory, &st));
        return st.st_ino;
}

static void list_rules(__u64 domain, unsigned n, struct seal_rule_key *ret_keys, struct seal_access *ret_access) {
        for (unsigned i = 0; i < n; i++) {
                ret_keys[i] = (struct seal_rule_key) { domain, { BPF_DEVCG_DEV_CHAR, MAJOR_FIRST + i / MINORS, i % MINORS } };
                ret_access[i] = (struct seal_access) { .access = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE };
        }
        if (n > 0) /* the last one is what is opened */
                ret_keys[n - 1].device = (struct seal_device) { BPF_DEVCG_DEV_CHAR, 1, 3 };
}

void seal_map_set(int map, int domain, unsigned n) {
        g_autofree struct seal_rule_key *keys = g_new(struct seal_rule_key, n);
        g_autofree struct seal_access *access = g_new(struct seal_access, n);

        list_rules(id_of(domain), n, keys, access);
        must(bpf_map_update_batch(map, keys, access, &n, NULL));
}

void seal_map_forget(int map, int domain, unsigned n) {
        g_autofree struct seal_rule_key *keys = g_new(struct seal_rule_key, n);
        g_autofree struct seal_access *access = g_new(struct seal_access, n);

        list_rules(id_of(domain), n, keys, access);
        must(bpf_map_delete_batch(map, keys, &n, NULL));
}

/* More rules than the service grants in one list. */
int bench_rules(int argc, char **argv) {
        int map = seal_map_open(must(open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC)));

        seal_map_set(map, must(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)), atoi(argv[2]));
        return EXIT_SUCCESS;
}

/* The least that any device program costs: one that says yes to everything. */
int bench_empty(int argc, char **argv) {
        static const struct bpf_insn program[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
                { .code = BPF_JMP | BPF_EXIT },
        };
        LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_ALLOW_MULTI);
        int directory = must(open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        int loaded = must(bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, "bench_empty", "GPL", program,
                                        G_N_ELEMENTS(program), NULL));

        must(bpf_prog_attach_opts(loaded, directory, BPF_CGROUP_DEVICE, &options));
        return EXIT_SUCCESS;
}
