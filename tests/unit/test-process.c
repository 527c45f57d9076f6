/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expect.h"
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fd.h"
#include "system-call.h"

/* A process that sleeps until it is killed, at the latest when a test that failed ends. */
static pid_t spawn(void) {
        pid_t parent = getpid(), pid = fork();

        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                while (getppid() == parent)
                        pause();
                _exit(0);
        }
        g_assert_cmpint(pid, >, 0);
        return pid;
}

static void kill_and_reap(pid_t pid) {
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void holds_one_process(void) {
        g_autoptr(Process) process = NULL, same = NULL;
        g_autoptr(GError) error = NULL;
        pid_t pid;

        if (!HAS_SYSTEM_CALL(pidfd_open))
                return;
        pid = spawn();
        process = process_open(pid, &error);
        g_assert_no_error(error);
        g_assert_cmpint(process->pid, ==, pid);
        g_assert_true(process_is_alive(process));

        same = process_open_pidfd(process->fd, &error);
        g_assert_no_error(error);
        g_assert_cmpint(same->pid, ==, pid);
        g_assert_cmpint(same->fd, !=, process->fd);

        kill_and_reap(pid);
        g_assert_false(process_is_alive(process));
        g_assert_false(process_is_owned_by(process, getuid(), &error));
        expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "is gone", NULL);
        g_assert_null(process_group(process, NULL, &error));
        expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "is gone", NULL);
        g_assert_null(process_open_pidfd(process->fd, &error));
        expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "gone", NULL);
        g_assert_null(process_open(pid, &error));
        expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "there is no process", NULL);
        process_free(NULL);
}

static void refuses_numbers_that_are_none(void) {
        static const pid_t pids[] = { 0, -1, INT32_MIN, INT32_MAX };

        for (size_t i = 0; i < G_N_ELEMENTS(pids); i++) {
                g_autofree char *number = g_strdup_printf("there is no process %d", (int) pids[i]);
                g_autoptr(GError) error = NULL;

                g_assert_null(process_open(pids[i], &error));
                expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, number, NULL);
        }
}

static void *tell_and_wait(void *data) {
        int *pipes = data, tid = syscall(SYS_gettid);
        char end;

        if (write(pipes[1], &tid, sizeof(tid)) == sizeof(tid) && read(pipes[2], &end, 1) < 0)
                return NULL;
        return data;
}

static void refuses_threads(void) {
        int pipes[4], tid;
        g_autoptr(GError) error = NULL;
        pthread_t thread;

        if (!HAS_SYSTEM_CALL(pidfd_open))
                return;
        g_assert_cmpint(pipe2(pipes, O_CLOEXEC) + pipe2(pipes + 2, O_CLOEXEC), ==, 0);
        g_assert_cmpint(pthread_create(&thread, NULL, tell_and_wait, pipes), ==, 0);
        g_assert_cmpint(read(pipes[0], &tid, sizeof(tid)), ==, sizeof(tid));

        g_assert_null(process_open(tid, &error));
        expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "is a thread", NULL);

        fd_close(&pipes[3]);
        g_assert_cmpint(pthread_join(thread, NULL), ==, 0);
        for (size_t i = 0; i < 3; i++)
                fd_close(&pipes[i]);
}

static void refuses_other_descriptors(void) {
        static const char *const paths[] = { "/dev/null", "/proc/self/status", "/proc/self/fdinfo", "/" };

        for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
                autoclose int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
                g_autoptr(GError) error = NULL;

                g_assert_null(process_open_pidfd(fd, &error));
                expect_error(&error, CORDON_ERROR_NO_SUCH_PROCESS, "no pidfd", NULL);
        }
}

static void knows_its_owner(void) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Process) process = NULL;
        g_autofree char *other = g_strdup_printf("does not belong to user %u", getuid() + 1);

        if (!HAS_SYSTEM_CALL(pidfd_open))
                return;
        process = process_open(getpid(), &error);
        g_assert_no_error(error);
        g_assert_true(process_is_owned_by(process, getuid(), &error));
        g_assert_no_error(error);
        g_assert_false(process_is_owned_by(process, getuid() + 1, &error));
        expect_error(&error, CORDON_ERROR_ACCESS_DENIED, other, NULL);
        g_assert_false(process_is_kernel_thread(process, &error));
        g_assert_no_error(error);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/process/holds-one-process", holds_one_process);
        g_test_add_func("/process/refuses-numbers-that-are-none", refuses_numbers_that_are_none);
        g_test_add_func("/process/refuses-threads", refuses_threads);
        g_test_add_func("/process/refuses-other-descriptors", refuses_other_descriptors);
        g_test_add_func("/process/knows-its-owner", knows_its_owner);
        return g_test_run();
}
