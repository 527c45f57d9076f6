/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attack KEY=VALUE…          reads names of attempts, one a line, and prints one line each:
 *                            NAME|WHAT IT DID LAST|THE KERNEL'S ANSWER|OPENING THE DEVICE|PID
 *                            the answers being ENDED where the attempt ended before it had any
 * attack --list SCOPE        prints the names of a scope (vm, user, anywhere)
 *
 * The process of an attempt stays as it is until the next line is read, so that it can be looked at.
 */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPT_SECONDS 300
#define STAGE_SIZE 512

static char **values;
static char *stage; /* shared with the attempt's process, which may end at any time */

static const struct attempt *const tables[] = { group_attempts, bpf_attempts, device_attempts, uring_attempts,
                                                task_attempts };

const char *value_of(const char *key) {
        size_t n = strlen(key);

        for (char **value = values; *value; value++)
                if (strncmp(*value, key, n) == 0 && (*value)[n] == '=')
                        return *value + n + 1;
        return "";
}

int number_of(const char *key) {
        return atoi(value_of(key));
}

/* Replaces each {key} by its value; {self} is this process. */
static const char *expand(const char *template, char buffer[static 512]) {
        char key[32];
        size_t n = 0;

        if (!template)
                return NULL;
        while (*template && n < 511) {
                size_t length = strcspn(template + 1, "}");

                if (*template != '{' || length >= sizeof(key)) {
                        buffer[n++] = *template++;
                        continue;
                }
                snprintf(key, sizeof(key), "%.*s", (int) length, template + 1);
                if (strcmp(key, "self") == 0)
                        n += (size_t) snprintf(buffer + n, 512 - n, "%d", (int) getpid());
                else
                        n += (size_t) snprintf(buffer + n, 512 - n, "%s", value_of(key));
                template += length + 2;
        }
        buffer[n < 512 ? n : 511] = '\0';
        return buffer;
}

void at(const char *format, ...) {
        va_list values_;

        va_start(values_, format);
        vsnprintf(stage, STAGE_SIZE, format, values_);
        va_end(values_);
}

int answer_of(long result) {
        return result < 0 ? -errno : 0;
}

int open_at(const char *path, int flags) {
        int fd;

        at("open %s %s", path, (flags & O_ACCMODE) == O_RDONLY ? "for reading" : "for writing");
        fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

int try_open(const char *path, int flags) {
        int fd = open_at(path, flags);

        if (fd < 0)
                return fd;
        close(fd);
        return 0;
}

int try_write(const char *path, const char *text) {
        int fd = open_at(path, O_WRONLY), r;

        if (fd < 0)
                return fd;
        at("write \"%s\" to %s", text, path);
        r = answer_of(write(fd, text, strlen(text)));
        close(fd);
        return r;
}

int try_mount(const char *source, const char *type, const char *options) {
        at("mount %s of type %s with options \"%s\"", source, type, options ? options : "");
        return answer_of(mount(source, MNT, type, 0, options));
}

int enter_user_namespace(int flags) {
        char users[32], groups[32];
        int r;

        snprintf(users, sizeof(users), "0 %u 1", (unsigned) geteuid());
        snprintf(groups, sizeof(groups), "0 %u 1", (unsigned) getegid());
        at("unshare the user namespace");
        if (unshare(CLONE_NEWUSER | flags) < 0)
                return -errno;
        r = try_write("/proc/self/setgroups", "deny");
        if (r >= 0)
                r = try_write("/proc/self/gid_map", groups);
        return r < 0 ? r : try_write("/proc/self/uid_map", users);
}

int read_file(const char *path, const char *unused) {
        int fd = open_at(path, O_RDONLY), r;
        char byte;

        if (fd < 0)
                return fd;
        at("read %s", path);
        r = answer_of(read(fd, &byte, 1));
        close(fd);
        return r;
}

int open_for_writing(const char *path, const char *unused) {
        return try_open(path, O_WRONLY);
}

int write_file(const char *path, const char *text) {
        return try_write(path, text);
}

static const struct attempt *find(const char *name) {
        for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
                for (const struct attempt *attempt = tables[i]; attempt->name; attempt++)
                        if (strcmp(attempt->name, name) == 0)
                                return attempt;
        return NULL;
}

static int list(const char *scope) {
        static const char *const names[] = { [VM] = "vm", [USER] = "user", [ANYWHERE] = "anywhere" };

        for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
                for (const struct attempt *attempt = tables[i]; attempt->name; attempt++)
                        for (int s = VM; s <= (int) attempt->scope; s++)
                                if (strcmp(names[s], scope) == 0)
                                        puts(attempt->name);
        return 0;
}

static const char *errno_text(int r) {
        return r == 0 ? "0" : strerrorname_np(-r);
}

struct attack {
        pid_t pid;
        int result; /* one line comes from here */
        int hold;   /* to be closed when the attempt may end */
};

/* In the attempt's own process. */
static void run(const struct attempt *attempt, int result, int hold) {
        char a[512], b[512], byte;
        int r, device;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(ATTEMPT_SECONDS);
        close(STDIN_FILENO); /* which is the next attempt's */
        open("/dev/null", O_RDONLY);
        if (unshare(CLONE_NEWNS) == 0)
                mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
        r = attempt->run(expand(attempt->a, a), expand(attempt->b, b));
        device = open(value_of("device"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        dprintf(result, "%s|%s|%s|%s|%d\n", attempt->name, stage, errno_text(r),
                device < 0 ? errno_text(-errno) : "0", (int) getpid());
        if (read(hold, &byte, 1) < 0)
                perror("read");
        _exit(0);
}

static struct attack start(const struct attempt *attempt) {
        struct attack attack;
        int result[2], hold[2];

        strcpy(stage, "nothing");
        if (pipe2(result, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(hold, O_CLOEXEC) < 0 || (attack.pid = fork()) < 0) {
                perror("attack");
                exit(1);
        }
        if (attack.pid == 0) {
                close(hold[1]);
                run(attempt, result[1], hold[0]);
        }
        close(result[1]);
        close(hold[0]);
        attack.result = result[0];
        attack.hold = hold[1];
        return attack;
}

/* Prints the attempt's line. Its end is waited for as well: somebody it left behind may hold the other end of the pipe. */
static void report(const struct attempt *attempt, const struct attack *attack) {
        int pidfd = (int) syscall(SYS_pidfd_open, attack->pid, 0);
        struct pollfd either[] = { { .fd = attack->result, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
        char line[STAGE_SIZE + 128];
        ssize_t n;

        while (poll(either, 2, -1) < 0 && errno == EINTR)
                ;
        n = read(attack->result, line, sizeof(line));
        if (n > 0)
                printf("%.*s", (int) n, line);
        else
                printf("%s|%s|ENDED|ENDED|%d\n", attempt->name, stage, (int) attack->pid);
        close(pidfd);
        close(attack->result);
}

static void end(struct attack *attack) {
        if (attack->pid > 0) {
                close(attack->hold);
                waitpid(attack->pid, NULL, 0);
        }
        attack->pid = 0;
}

int main(int argc, char **argv) {
        struct attack attack = {};
        char name[64];

        if (argc == 3 && strcmp(argv[1], "--list") == 0)
                return list(argv[2]);
        values = argv + 1;
        stage = mmap(NULL, STAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        setvbuf(stdout, NULL, _IOLBF, 0);
        setvbuf(stdin, NULL, _IONBF, 0);
        uring_prepare();
        puts("ready"); /* what is from before joining the domain is made */
        while (fgets(name, sizeof(name), stdin)) {
                const struct attempt *attempt;

                name[strcspn(name, "\n")] = '\0';
                end(&attack);
                if (*name == '\0')
                        continue;
                attempt = find(name);
                if (!attempt) {
                        fprintf(stderr, "attack: there is no attempt %s\n", name);
                        return 2;
                }
                attack = start(attempt);
                report(attempt, &attack);
        }
        return 0;
}
