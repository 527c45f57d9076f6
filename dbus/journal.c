/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal.h"

#include <string.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "driver.h"

/* "/dev/fuse", if the device has a node's name (sysfs(5): uevent of the device); else its numbers. */
static char *device_name(const struct seal_device *device) {
        g_autofree char *path = g_strdup_printf("/sys/dev/%s/%u:%u/uevent",
                                                *device_type_name(device->type) == 'b' ? "block" : "char",
                                                device->major, device->minor);
        g_autofree char *text = NULL;
        char *name;

        if (!g_file_get_contents(path, &text, NULL, NULL) || !(name = strstr(text, "DEVNAME=")))
                return device_format(device);
        name += strlen("DEVNAME=");
        return g_strdup_printf("/dev/%.*s", (int) strcspn(name, "\n"), name);
}

void journal_denial(Domain *domain, const struct seal_event *event) {
        const struct seal_device *device = &event->key.device;
        g_autofree char *name = device_name(device), *numbers = device_format(device);
        g_autofree char *command = g_strndup(event->command, sizeof(event->command));
        g_autofree char *message = NULL;
        char mode[4];

        device_access_format(event->key.access, mode);
        message = g_strdup_printf("Refused %s (%s) to domain %s of driver %s: process %u", name, mode, domain->name,
                                  domain->driver->name, event->pid);
        if (access("/run/systemd/journal/socket", W_OK) == 0)
                sd_journal_send("MESSAGE=%s", message, "MESSAGE_ID=" JOURNAL_DENIAL_ID, "PRIORITY=5",
                                "CORDON_DRIVER=%s", domain->driver->name, "CORDON_DOMAIN=%s", domain->name,
                                "CORDON_DEVICE=%s", numbers, "CORDON_DEVICE_NAME=%s", name, "CORDON_ACCESS=%s", mode,
                                "CORDON_COUNT=%" G_GUINT64_FORMAT, event->count, "CORDON_PID=%u", event->pid,
                                "CORDON_COMMAND=%s", command, NULL);
        else
                g_message("%s", message);
}
