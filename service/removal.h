#pragma once

#include "tree.h"

/*
 * Somebody waiting until a killed group is empty, so that it can be removed: told when its processes have ended, or
 * when that takes too long (a process in the kernel's uninterruptible sleep).
 */
typedef struct Removal Removal;

/* Adds one to `list`, which the group's owner keeps. */
void removal_add(GSList **list, Tree *tree, const char *group_path, TreeDone done, void *userdata);
/* Tells all of them the outcome. Takes the list, for its owner may be gone already. */
void removal_finish_all(GSList *list, const GError *error);
