/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens devices as fast as it can, in a domain whose list changes, and counts the answers that were wrong.
 *
 *   opener steady PERMITTED FORBIDDEN CHANGING    in one domain
 *   opener moving PERMITTED FORBIDDEN A B         in and out of many: one named a… permits A, one named b… permits B
 *   opener often FORBIDDEN TIMES                  after any letter, so often; then says how often it was refused
 *   opener numbers TIMES                          the same, by mknod(2) with so many different numbers
 *
 * A letter on standard input says what the changing device must answer from now on: `+` opened, `-` refused, `?` any;
 * before the first one nothing is judged (steady).
 * After each letter, and after at least one whole round in its terms, one line of counters comes back:
 * ROUNDS WRONG OPENED REFUSED, the last two of the changing device (steady), or rounds in a domain and out (moving).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define COMPLAINTS_MAX 20 /* less than a pipe holds */

static unsigned long rounds, wrong, yes, no;

static void fail(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

/* Anything but success and EPERM would be a mistake of the test. */
static bool opens(const char *path) {
        int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0 && errno != EPERM)
                fail(path);
        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

static void expect(bool got, bool expected, const char *path) {
        if (got == expected)
                return;
        if (++wrong <= COMPLAINTS_MAX)
                fprintf(stderr, "opener: round %lu: %s was %s\n", rounds, path, got ? "opened" : "refused");
}

static void steady(char **paths, char order) {
        bool opened;

        if (order == '\0') /* not in the domain yet */
                return;
        expect(opens(paths[0]), true, paths[0]);
        expect(opens(paths[1]), false, paths[1]);
        opened = opens(paths[2]);
        if (order != '?')
                expect(opened, order == '+', paths[2]);
        opened ? yes++ : no++;
}

/* The last name in the path of the group this process is in, such as "a17". */
static void read_group(int fd, char name[static 256]) {
        char text[4096], *line, *last;
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        if (n < 0)
                fail("/proc/self/cgroup");
        text[n] = '\0';
        line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
        if (!line)
                fail("no cgroup v2 group");
        line = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        last = strrchr(line, '/') + 1;
        snprintf(name, 256, "%s", last);
}

/* Every domain has a name of its own: the same one before and after means that it was there in between. */
static void moving(char **paths, int group_fd) {
        char before[256], after[256];
        bool permitted, forbidden, a, b;

        read_group(group_fd, before);
        permitted = opens(paths[0]);
        forbidden = opens(paths[1]);
        a = opens(paths[2]);
        b = opens(paths[3]);
        read_group(group_fd, after);

        /*
         * The kernel looks up the programs of the process's group, and they look up its group again: one that is moved
         * out in between is in no domain of theirs, and is refused whatever it asks for. Coming in has no such gap.
         */
        if (*before == '\0' || strcmp(before, after) == 0)
                expect(permitted, true, paths[0]);
        if (strcmp(before, after) != 0)
                return;
        if (*before == '\0') { /* the root of the hierarchy */
                no++;
                return;
        }
        yes++;
        expect(forbidden, false, paths[1]);
        expect(a, *before == 'a', paths[2]);
        expect(b, *before == 'b', paths[3]);
}

static unsigned long open_often(const char *path, unsigned long times) {
        unsigned long refused = 0;

        while (times-- > 0)
                refused += !opens(path);
        return refused;
}

/* Majors that no device has; a node that is made all the same would have to be gone before the next. */
static unsigned long make_each(unsigned long times) {
        unsigned long refused = 0;

        for (unsigned long i = 0; i < times; i++)
                if (mknod("node", S_IFCHR | 0600, makedev(1000 + i / 1000, i % 1000)) < 0 && errno == EPERM)
                        refused++;
        return refused;
}

static int flood(int argc, char **argv) {
        char letter;

        if (read(STDIN_FILENO, &letter, 1) != 1)
                return EXIT_FAILURE;
        printf("%lu\n", argc == 4 ? open_often(argv[2], strtoul(argv[3], NULL, 10)) : make_each(strtoul(argv[2], NULL, 10)));
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        int group_fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
        bool is_steady = argc == 5 && strcmp(argv[1], "steady") == 0;
        char order = '\0';

        if ((argc == 4 && strcmp(argv[1], "often") == 0) || (argc == 3 && strcmp(argv[1], "numbers") == 0))
                return flood(argc, argv);
        if (!is_steady && (argc != 6 || strcmp(argv[1], "moving") != 0)) {
                fprintf(stderr, "Usage: opener steady|moving|often|numbers …\n");
                return 2;
        }
        alarm(900); /* whatever became of the test */
        for (;;) {
                bool asked = poll(&input, 1, 0) > 0;

                if (asked && read(STDIN_FILENO, &order, 1) != 1)
                        return EXIT_SUCCESS;
                is_steady ? steady(argv + 2, order) : moving(argv + 2, group_fd);
                rounds++;
                if (asked) {
                        printf("%lu %lu %lu %lu\n", rounds, wrong, yes, no);
                        fflush(stdout);
                }
        }
}
