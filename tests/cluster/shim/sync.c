/* Stands between a node and its disk: what the file named by SYNC_FAULT says happens to fsync and
 * fdatasync. `late N`: they take N microseconds longer. `fail`: the next one fails with EIO, and
 * syncs nothing; the file goes with it, so that it happens once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int sync_call(int);

static int faulty(const char *name, int fd) {
    const char *path = getenv("SYNC_FAULT");
    char word[16] = "";
    unsigned delay_us = 0;
    FILE *file = path ? fopen(path, "re") : NULL;
    if (file) {
        if (fscanf(file, "%15s %u", word, &delay_us) < 1) word[0] = 0;
        fclose(file);
    }
    if (strcmp(word, "fail") == 0 && unlink(path) == 0) {
        errno = EIO;
        return -1;
    }
    if (strcmp(word, "late") == 0) usleep(delay_us);
    return ((sync_call *)dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return faulty("fsync", fd); }
int fdatasync(int fd) { return faulty("fdatasync", fd); }
