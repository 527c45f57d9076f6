/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * Small files of the kernel's, always beneath a directory descriptor. On failure errno is set and returned negative:
 * the caller knows what the file means and words the error.
 */
int kernel_file_open_directory(int dir, const char *path); /* beneath `dir`, following no link; returns a descriptor */
/*
 * A file that is one record, as all of a group's are but its lists of processes. The kernel hands out a record as a whole,
 * so a read that does not fill its buffer is the last one (seq_read_iter(), fs/seq_file.c; kernfs_seq_start()).
 */
int kernel_file_read(int dir, const char *name, char **ret_text);
/* A list of processes: there a read may end between two records, and only one that gives nothing is the last. */
int kernel_file_read_list(int dir, const char *name, char **ret_text);
/* Adds the names of the directories in `dir`, or of one of them. */
int kernel_file_list_directories(int dir, GPtrArray *names, bool first_only);
int kernel_file_write(int dir, const char *name, const char *text);
/* KERNEL_REFUSED naming file, value (may be NULL) and reason; returns false. */
bool kernel_file_fail(GError **error, const char *group, const char *name, const char *value, int negative_errno);
