/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways out through bpf(2). */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RACE_ROUNDS 20000

static int bpf(enum bpf_cmd command, union bpf_attr *attr) {
        return (int) syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* return 1 */
static const struct bpf_insn allow[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 },
        { .code = BPF_JMP | BPF_EXIT },
};

static int load(unsigned type, unsigned attach_type) {
        union bpf_attr attr = { .prog_type = type, .expected_attach_type = attach_type, .insns = (unsigned long) allow,
                                .insn_cnt = 2, .license = (unsigned long) "GPL" };

        at("load a program of type %u", type);
        return bpf(BPF_PROG_LOAD, &attr);
}

static int load_device_program(void) {
        int fd = load(BPF_PROG_TYPE_CGROUP_DEVICE, 0);

        return fd < 0 ? -errno : fd;
}

/* ---- attaching, detaching ---- */

static int attach(const char *directory, const char *flags) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = (unsigned) atoi(flags) };
        int program = load_device_program(), target;

        if (program < 0)
                return program;
        target = open_at(directory, O_RDONLY | O_DIRECTORY);
        if (target < 0)
                return target;
        attr.target_fd = (unsigned) target;
        attr.attach_bpf_fd = (unsigned) program;
        at("attach a device program to %s with flags %s", directory, flags);
        return answer_of(bpf(BPF_PROG_ATTACH, &attr));
}

static int attach_by_path_descriptor(const char *directory, const char *flags) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = (unsigned) atoi(flags) };
        int program = load_device_program(), target;

        if (program < 0)
                return program;
        target = open_at(directory, O_PATH | O_DIRECTORY);
        if (target < 0)
                return target;
        attr.target_fd = (unsigned) target;
        attr.attach_bpf_fd = (unsigned) program;
        at("attach a device program to %s by an O_PATH descriptor", directory);
        return answer_of(bpf(BPF_PROG_ATTACH, &attr));
}

static int open_by_id(enum bpf_cmd command, const char *key) {
        union bpf_attr attr = { .prog_id = (unsigned) number_of(key) };
        int fd;

        at("open the %s of id %u", key, attr.prog_id);
        fd = bpf(command, &attr);
        return fd < 0 ? -errno : fd;
}

static int replace(const char *directory, const char *unused) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE };
        int program = load_device_program(), target = open_at(directory, O_RDONLY | O_DIRECTORY),
            old = open_by_id(BPF_PROG_GET_FD_BY_ID, "program");

        if (program < 0 || target < 0)
                return program < 0 ? program : target;
        attr.target_fd = (unsigned) target;
        attr.attach_bpf_fd = (unsigned) program;
        attr.replace_bpf_fd = (unsigned) old;
        at("replace the program of %s (its descriptor: %d)", directory, old);
        return answer_of(bpf(BPF_PROG_ATTACH, &attr));
}

static int detach(const char *directory, const char *unused) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_bpf_fd = (unsigned) -1 };
        int target = open_at(directory, O_RDONLY | O_DIRECTORY);

        if (target < 0)
                return target;
        attr.target_fd = (unsigned) target;
        at("detach from %s without a descriptor", directory);
        return answer_of(bpf(BPF_PROG_DETACH, &attr));
}

static int detach_with_descriptor(const char *directory, const char *unused) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE };
        int program = open_by_id(BPF_PROG_GET_FD_BY_ID, "program"), target;

        if (program < 0)
                return program;
        target = open_at(directory, O_RDONLY | O_DIRECTORY);
        if (target < 0)
                return target;
        attr.target_fd = (unsigned) target;
        attr.attach_bpf_fd = (unsigned) program;
        at("detach the program from %s", directory);
        return answer_of(bpf(BPF_PROG_DETACH, &attr));
}

/* The guard's programs: their attach type, no descriptor. */
static int detach_guard(const char *directory, const char *unused) {
        union bpf_attr attr = { .attach_type = BPF_LSM_CGROUP };
        int target = open_at(directory, O_RDONLY | O_DIRECTORY), program = open_by_id(BPF_PROG_GET_FD_BY_ID, "guard");

        if (target < 0)
                return target;
        attr.target_fd = (unsigned) target;
        attr.attach_bpf_fd = (unsigned) program;
        at("detach a guard program from %s (its descriptor: %d)", directory, program);
        return answer_of(bpf(BPF_PROG_DETACH, &attr));
}

static int query(const char *directory, const char *unused) {
        unsigned ids[64];
        union bpf_attr attr = { .query = { .attach_type = BPF_CGROUP_DEVICE, .prog_ids = (unsigned long) ids,
                                           .prog_cnt = 64 } };
        int target = open_at(directory, O_RDONLY | O_DIRECTORY);

        if (target < 0)
                return target;
        attr.query.target_fd = (unsigned) target;
        at("query the programs of %s", directory);
        return answer_of(bpf(BPF_PROG_QUERY, &attr));
}

static int link_to(const char *directory, const char *unused) {
        union bpf_attr attr = { .link_create = { .attach_type = BPF_CGROUP_DEVICE } };
        int program = load_device_program(), target;

        if (program < 0)
                return program;
        target = open_at(directory, O_RDONLY | O_DIRECTORY);
        if (target < 0)
                return target;
        attr.link_create.target_fd = (unsigned) target;
        attr.link_create.prog_fd = (unsigned) program;
        at("link a device program to %s", directory);
        return answer_of(bpf(BPF_LINK_CREATE, &attr));
}

/* ---- objects by id and by name ---- */

static int open_program(const char *unused, const char *unused_) {
        int fd = open_by_id(BPF_PROG_GET_FD_BY_ID, "program");

        return fd < 0 ? fd : 0;
}

static int open_map(const char *unused, const char *unused_) {
        int fd = open_by_id(BPF_MAP_GET_FD_BY_ID, "map");

        return fd < 0 ? fd : 0;
}

static int open_link(const char *unused, const char *unused_) {
        int fd = open_by_id(BPF_LINK_GET_FD_BY_ID, "link");

        return fd < 0 ? fd : 0;
}

static int next_id(const char *command, const char *unused) {
        union bpf_attr attr = { .start_id = 0 };

        at("ask for the first id by command %s", command);
        return answer_of(bpf((enum bpf_cmd) atoi(command), &attr));
}

static int get_pinned(const char *path) {
        union bpf_attr attr = { .pathname = (unsigned long) path };
        int fd;

        at("open the pinned map %s", path);
        fd = bpf(BPF_OBJ_GET, &attr);
        return fd < 0 ? -errno : fd;
}

static int open_pinned(const char *path, const char *unused) {
        int fd = get_pinned(path);

        return fd < 0 ? fd : 0;
}

static int pin_program(const char *path, const char *unused) {
        union bpf_attr attr = { .pathname = (unsigned long) MNT "/pinned" };
        int program = load_device_program(), r = try_mount("none", "bpf", NULL);

        if (program < 0 || r < 0)
                return program < 0 ? program : r;
        attr.bpf_fd = (unsigned) program;
        at("pin a program");
        return answer_of(bpf(BPF_OBJ_PIN, &attr));
}

/* A map of the seal, however it can be had. */
static int any_map(void) {
        int fd = open_by_id(BPF_MAP_GET_FD_BY_ID, "map");

        return fd < 0 ? get_pinned(value_of("pin")) : fd;
}

/* On the first entry there is; what is written would permit everything. */
static int map_command(const char *command, const char *name) {
        char key[32] = {}, value[32]; /* of any of them */
        int fd = any_map();
        union bpf_attr first = { .map_fd = (unsigned) fd, .next_key = (unsigned long) key };
        union bpf_attr attr = { .map_fd = (unsigned) fd, .key = (unsigned long) key, .value = (unsigned long) value };

        memset(value, 0xff, sizeof(value));
        at("%s of the map (its descriptor: %d)", name, fd);
        bpf(BPF_MAP_GET_NEXT_KEY, &first);
        if (atoi(command) == BPF_MAP_DELETE_ELEM) /* takes none */
                attr.value = 0;
        return answer_of(bpf((enum bpf_cmd) atoi(command), &attr));
}

/* All rules that wait for a turn come in force with it. */
static int write_turn(const char *unused, const char *unused_) {
        int fd = open_by_id(BPF_MAP_GET_FD_BY_ID, "turn");
        unsigned long long *turn = MAP_FAILED;

        if (fd < 0)
                return fd;
        turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        at("map the turn (its descriptor: %d)", fd);
        if (turn == MAP_FAILED)
                return -errno;
        *turn += 1; /* enough to see that it can be done */
        return 0;
}

static int freeze_map(const char *unused, const char *unused_) {
        int fd = any_map();
        union bpf_attr attr = { .map_fd = (unsigned) fd };

        at("freeze the map (its descriptor: %d)", fd);
        return answer_of(bpf(BPF_MAP_FREEZE, &attr));
}

/* ---- programs that see more than the tenant ---- */

static int load_type(const char *type, const char *attach_type) {
        int fd = load((unsigned) atoi(type), attach_type ? (unsigned) atoi(attach_type) : 0);

        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

static int create_map(const char *unused, const char *unused_) {
        union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

        at("make a map");
        return answer_of(bpf(BPF_MAP_CREATE, &attr));
}

static int raw_command(const char *command, const char *name) {
        union bpf_attr attr = {};

        at("%s", name);
        return answer_of(bpf((enum bpf_cmd) atoi(command), &attr));
}

/* ---- exchanging the descriptor between check and use ---- */

struct race {
        int own, foreign, target;
        atomic_bool over;
};

static int swap(void *data) {
        struct race *race = data;

        while (!race->over) {
                dup2(race->own, race->target);
                dup2(race->foreign, race->target);
        }
        return 0;
}

static void *swap_thread(void *data) {
        swap(data);
        return NULL;
}

/* Attaches to a descriptor that is its own group's at one moment and the driver's at the next. */
static int attach_while_swapped(struct race *race, const char *how) {
        union bpf_attr attr = { .attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI };
        int program = load_device_program(), r = -EAGAIN;

        if (program < 0)
                return program;
        attr.target_fd = (unsigned) race->target;
        attr.attach_bpf_fd = (unsigned) program;
        at("attach while %s exchanges the descriptor", how);
        for (int i = 0; i < RACE_ROUNDS && r < 0; i++)
                r = answer_of(bpf(BPF_PROG_ATTACH, &attr));
        return r;
}

static int open_race(struct race *race, const char *domain, const char *driver) {
        char path[512];

        snprintf(path, sizeof(path), "%s/race-%d", domain, (int) getpid());
        at("mkdir %s", path);
        if (mkdir(path, 0755) < 0)
                return -errno;
        race->own = open_at(path, O_RDONLY | O_DIRECTORY);
        race->foreign = open_at(driver, O_RDONLY | O_DIRECTORY);
        race->target = dup(race->foreign);
        rmdir(path);
        return race->own < 0 ? race->own : race->foreign < 0 ? race->foreign : 0;
}

static int race_by_thread(const char *domain, const char *driver) {
        struct race race = {};
        int r = open_race(&race, domain, driver);
        pthread_t thread;

        if (r < 0)
                return r;
        pthread_create(&thread, NULL, swap_thread, &race);
        r = attach_while_swapped(&race, "a thread");
        race.over = true;
        pthread_join(thread, NULL);
        return r;
}

static int race_by_process(const char *domain, const char *driver) {
        static char stack[65536] __attribute__((aligned(16)));
        struct race race = {};
        int r = open_race(&race, domain, driver);
        pid_t pid;

        if (r < 0)
                return r;
        pid = clone(swap, stack + sizeof(stack), CLONE_FILES | CLONE_VM | SIGCHLD, &race);
        if (pid < 0)
                return -errno;
        r = attach_while_swapped(&race, "a process that shares the table");
        race.over = true;
        waitpid(pid, NULL, 0); /* it reads this frame, and writes this table of descriptors */
        return r;
}

const struct attempt bpf_attempts[] = {
        { "bpf-attach-driver", USER, attach, "{driver}", "2" },
        { "bpf-attach-driver-override", USER, attach, "{driver}", "1" },
        { "bpf-attach-driver-exclusive", USER, attach, "{driver}", "0" },
        { "bpf-attach-tree", USER, attach, "{tree}", "2" },
        { "bpf-attach-root", VM, attach, "{root}", "2" },
        { "bpf-attach-sibling", USER, attach, "{sibling}", "2" },
        { "bpf-attach-domain", USER, attach, "{domain}", "2" },
        { "bpf-attach-driver-path", USER, attach_by_path_descriptor, "{driver}", "2" },
        { "bpf-replace-driver", USER, replace, "{driver}" },
        { "bpf-replace-domain", USER, replace, "{domain}" },
        { "bpf-detach-driver", USER, detach, "{driver}" },
        { "bpf-detach-root", VM, detach, "{root}" },
        { "bpf-detach-driver-descriptor", USER, detach_with_descriptor, "{driver}" },
        { "bpf-detach-guard", USER, detach_guard, "{driver}" },
        { "bpf-query-driver", VM, query, "{driver}" },
        { "bpf-link-driver", USER, link_to, "{driver}" },
        { "bpf-link-domain", USER, link_to, "{domain}" },
        { "bpf-program-by-id", USER, open_program },
        { "bpf-map-by-id", USER, open_map },
        { "bpf-link-by-id", USER, open_link },
        { "bpf-next-program", USER, next_id, "11" },
        { "bpf-next-map", USER, next_id, "12" },
        { "bpf-pinned", USER, open_pinned, "{pin}" },
        { "bpf-pin-own", USER, pin_program },
        { "bpf-map-lookup", USER, map_command, "1", "look up an entry" },
        { "bpf-map-update", USER, map_command, "2", "update an entry" },
        { "bpf-map-delete", USER, map_command, "3", "delete an entry" },
        { "bpf-map-take", USER, map_command, "21", "take an entry out" },
        { "bpf-map-freeze", USER, freeze_map },
        { "bpf-map-turn", USER, write_turn },
        { "bpf-map-create", VM, create_map },
        { "bpf-load-lsm", USER, load_type, "29", "43" },
        { "bpf-load-tracing", USER, load_type, "26", "26" },
        { "bpf-load-kprobe", USER, load_type, "2" },
        { "bpf-load-tracepoint", USER, load_type, "5" },
        { "bpf-load-extension", USER, load_type, "28" },
        { "bpf-load-syscall", USER, load_type, "31" },
        { "bpf-load-cgroup-sysctl", USER, load_type, "23" },
        { "bpf-raw-tracepoint", USER, raw_command, "17", "open a raw tracepoint" },
        { "bpf-link-update", USER, raw_command, "29", "update a link" },
        { "bpf-link-detach", USER, raw_command, "34", "detach a link" },
        { "bpf-iterator", USER, raw_command, "33", "make an iterator" },
        { "bpf-bind-map", USER, raw_command, "35", "bind a map to a program" },
        { "bpf-task-descriptor", USER, raw_command, "20", "ask about a process's descriptor" },
        { "bpf-btf-load", VM, raw_command, "18", "load types" },
        { "bpf-token", USER, raw_command, "36", "make a token" },
        { "bpf-race-thread", VM, race_by_thread, "{domain}", "{driver}" },
        { "bpf-race-process", VM, race_by_process, "{domain}", "{driver}" },
        {},
};
