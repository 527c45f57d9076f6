/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target without libFuzzer: each file of the corpus, then mutations of them, always the same ones, so that
 * a failure is one that everybody can repeat.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"

#define SEED 20081104
#define MUTATIONS 20000
#define CHANGES_MAX 8
#define SIZE_MAX_BYTES 4096

static GPtrArray *read_corpus(const char *path) {
        GPtrArray *corpus = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(path, name, NULL);
                char *contents;
                gsize size;

                g_assert_true(g_file_get_contents(file, &contents, &size, NULL));
                g_ptr_array_add(corpus, g_bytes_new_take(contents, size));
        }
        g_assert_cmpuint(corpus->len, >, 0);
        return corpus;
}

/* The order of a directory is not the same everywhere. */
static int compare(const void *a, const void *b) {
        return g_bytes_compare(*(GBytes *const *) a, *(GBytes *const *) b);
}

/* One random byte: mostly what the parsers look for, sometimes anything. */
static uint8_t random_byte(GRand *random) {
        static const char letters[] = "0123456789:*-,. \t\n/@rwmcbx[]?\\max";

        if (g_rand_int_range(random, 0, 4) == 0)
                return g_rand_int_range(random, 0, 256);
        return letters[g_rand_int_range(random, 0, strlen(letters))];
}

static void mutate(GRand *random, GByteArray *input, GBytes *other) {
        unsigned at = g_rand_int_range(random, 0, input->len + 1), n = MIN(input->len - at, 8U);
        uint8_t byte = random_byte(random);
        gsize other_size;
        const uint8_t *other_data = g_bytes_get_data(other, &other_size);

        switch (g_rand_int_range(random, 0, 4)) {
        case 0: /* change */
                if (n > 0)
                        input->data[at] = byte;
                break;
        case 1: /* insert */
                g_byte_array_append(input, &byte, 1);
                memmove(input->data + at + 1, input->data + at, input->len - 1 - at);
                input->data[at] = byte;
                break;
        case 2: /* take out */
                if (n > 0)
                        g_byte_array_remove_range(input, at, g_rand_int_range(random, 1, n + 1));
                break;
        case 3: /* go on as another one does */
                g_byte_array_set_size(input, at);
                if (other_size > 0) {
                        unsigned from = g_rand_int_range(random, 0, other_size);

                        g_byte_array_append(input, other_data + from, MIN(other_size - from, SIZE_MAX_BYTES));
                }
                break;
        }
}

int main(int argc, char **argv) {
        g_autoptr(GPtrArray) corpus = argc == 2 ? read_corpus(argv[1]) : NULL;
        g_autoptr(GByteArray) input = g_byte_array_new();
        g_autoptr(GRand) random = g_rand_new_with_seed(SEED);

        if (!corpus) {
                g_printerr("usage: %s CORPUS\n", argv[0]);
                return 2;
        }
        g_ptr_array_sort(corpus, compare);
        for (unsigned i = 0; i < corpus->len; i++) {
                gsize size;
                const uint8_t *data = g_bytes_get_data(corpus->pdata[i], &size);

                LLVMFuzzerTestOneInput(data, size);
        }
        for (unsigned i = 0; i < MUTATIONS; i++) {
                GBytes *start = corpus->pdata[g_rand_int_range(random, 0, corpus->len)];
                gsize size;
                const uint8_t *data = g_bytes_get_data(start, &size);

                g_byte_array_set_size(input, 0);
                g_byte_array_append(input, data, MIN(size, SIZE_MAX_BYTES));
                for (int n = g_rand_int_range(random, 1, CHANGES_MAX + 1); n > 0; n--)
                        mutate(random, input, corpus->pdata[g_rand_int_range(random, 0, corpus->len)]);
                LLVMFuzzerTestOneInput(input->data, input->len);
        }
        return 0;
}
