#include "log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"

enum { LONGEST_LINE = 1024 };

static struct {
    pthread_mutex_t lock;
    char file[LONGEST_PATH], last[LONGEST_LINE];
    bool info;
} hsm_log = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_to(const char *file, const char *level) {
    pthread_mutex_lock(&hsm_log.lock);
    snprintf(hsm_log.file, sizeof hsm_log.file, "%s", file);
    hsm_log.info = !strcmp(level, "info") || !strcmp(level, "debug") || !strcmp(level, "trace");
    hsm_log.last[0] = 0;
    pthread_mutex_unlock(&hsm_log.lock);
}

/* A message that repeats the one before is left out: a program asks a slot that is away again and again. */
static void write_line(const char *level, const char *format, va_list values) {
    char message[LONGEST_LINE], line[LONGEST_LINE + 64], at[32];
    time_t now = time(NULL);
    struct tm parts;
    vsnprintf(message, sizeof message, format, values);
    pthread_mutex_lock(&hsm_log.lock);
    if (strcmp(message, hsm_log.last) != 0) {
        strcpy(hsm_log.last, message);
        strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
        int length = snprintf(line, sizeof line, "%s %s cloudhsm-pkcs11 %s\n", at, level, message);
        int out = hsm_log.file[0] ? open(hsm_log.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600) : STDERR_FILENO;
        if (out >= 0 && write(out, line, (size_t)length) < 0) {
            hsm_log.last[0] = 0; /* Said at the next occasion. */
        }
        if (hsm_log.file[0] && out >= 0) {
            close(out);
        }
    }
    pthread_mutex_unlock(&hsm_log.lock);
}

void log_lock(void) {
    pthread_mutex_lock(&hsm_log.lock);
}

void log_unlock(void) {
    pthread_mutex_unlock(&hsm_log.lock);
}

void log_error(const char *format, ...) {
    va_list values;
    va_start(values, format);
    write_line("ERROR", format, values);
    va_end(values);
}

void log_info(const char *format, ...) {
    va_list values;
    va_start(values, format);
    if (hsm_log.info) {
        write_line("INFO", format, values);
    }
    va_end(values);
}
