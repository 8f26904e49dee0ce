/* The library's log: why an HSM is not used, which no return code of Cryptoki tells. */

#ifndef HSMBRIDGE_LOG_H
#define HSMBRIDGE_LOG_H

/* Write to a file, or to standard error where `file` is empty. Levels below "info" are errors only. */
void log_to(const char *file, const char *level);

/* Keep other threads from writing, while the process forks. */
void log_lock(void);
void log_unlock(void);

__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);

#endif
