#define _GNU_SOURCE
/* A stand-in for libedgetpu: the public C symbols, and a TFLite delegate that claims "edgetpu-custom-op".

   The answer is the mean of each channel of a uint8 input, as the plain twin written by small_models.py gives
   it; or, with SIM_TWIN, the bytes of any plain model, from a Python process that runs it.  Environment variables
   set how it behaves; the struct layouts are declared from the public headers of TensorFlow Lite (c/common.h).

   What it says is what a real libedgetpu of runtime 14 was heard to say: at verbosity 10 an opening writes some sixty
   lines, ONE of which tells why a device is refused, and it is not always the last.  That line, the fatal ones and the
   seconds were measured; of the chatter around them only the number was.

     SIM_DEVICES    what is attached, in order: "usb", "pci", "dfu" (USB, not initialised), or one that does not open:
                      busy       claimed by another process
                      denied     no permission on its node
                      gone       pulled out since it was listed
                      leaves     pulled out while it is being opened; SIM_BACK is attached from then on
                      slow       the link has come up at low speed
                      broken     an I/O error at every control transfer
                      corrupt    in DFU state, and what it takes down arrives wrong
                    each with "@PATH" if it should have another path than /sys/bus/usb/devices/2-N or /dev/apex_N.
                    Default: usb.  Empty: nothing.
     SIM_STATE      folder: counts invocations and openings over all processes (files "invokes" and "opens", a byte
                    each), and its file "devices", if there, stands for SIM_DEVICES; an invocation while it is empty
                    aborts.  Without it each process counts.
                    A process that only tries the pairing of driver and runtime (CORAL_CLASSIFY_TRIAL is set) counts
                    in "trial-invokes" and "trial-opens", and has faults of its own: what is meant for the first
                    picture must not happen before it.
     SIM_FAULTS     "KIND:WHEN,...": WHEN is a number (the n-th invocation, or opening) or "*" (every one), KIND
                      abort, segv, hang          in an invocation
                      stall, overflow            abort in an invocation, in the words of such a transfer
                      idle                       pulled out 20 ms after an invocation has answered: abort
                      unplug                     abort in an invocation, with SIM_BACK attached from then on
                      trial-segv                 in an invocation of a trial
                      open-abort, open-hang      in an opening
                      open-fail                  an opening that gives nothing, and no reason
     SIM_POISON     a number of pixels: a model whose input is so wide aborts in each of its invocations
     SIM_BACK       what is attached after "unplug", like SIM_DEVICES (needs SIM_STATE)
     SIM_SECOND_MS  length of one of the driver's seconds, default 0; 1000 is the real thing.  It opens in 2, out of DFU
                    in 4; refuses a device that is claimed or takes a wrong download after 2, one that leaves after 8, one
                    at low speed or with I/O errors after 1, and one that may not be opened or is gone after 25
     SIM_INVOKE_MS  how long an invocation takes
     SIM_ABI        "old": hand over the structs of TF 2.5 with garbage behind them; "2020": crash as the library of
                    July 2020 does; "new" (default)
     SIM_RUNTIME    the runtime version that the library tells, default 14
     SIM_TWIN       path of the plain model whose answers to give; SIM_PYTHON and SIM_TWIN_SCRIPT run it */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct device { int type; const char *path; };
typedef struct { int size; int data[]; } int_array;

/* TfLiteRegistration as TF 2.5 had it (64 bytes; 32 where pointers have 4), and what later headers may add. */
typedef struct {
  void *(*init)(void *, const char *, size_t);
  void (*free)(void *, void *);
  int (*prepare)(void *, void *);
  int (*invoke)(void *, void *);
  const char *(*profiling_string)(const void *, const void *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
} old_registration;
#if UINTPTR_MAX > 0xFFFFFFFFu
typedef struct { old_registration base; void *later[8]; } new_registration;
/* What an old library leaves on the stack behind its 64 bytes. */
typedef struct { old_registration base; uintptr_t garbage[8]; } dirty_registration;
#else
/* 32-bit ARM passes the struct in registers and on the stack, and what follows it after that: its size and alignment are
   part of the call.  Here as in TF 2.14: registration_external, async_kernel, inplace_operator (64 bits). */
typedef struct { old_registration base; void *external, *async_kernel; uint64_t inplace; } new_registration;
typedef old_registration dirty_registration;
#endif

typedef struct {
  void *data;
  int (*prepare)(void *context, void *delegate);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  uintptr_t later[10];      /* zero in a new library, garbage in an old one */
} delegate;

/* TfLiteTensor: type (4 bytes, padded), data pointer; the rest is not looked at except dims. */
typedef struct { int type; void *data; int_array *dims; } tensor;
typedef struct { int_array *inputs, *outputs; } node;
typedef struct {
  size_t tensors_size;
  int (*get_execution_plan)(void *, int_array **);
  char *tensors;
  void *impl;
  void *resize, *report, *add_tensors;
  int (*get_node)(void *, int, node **, void **);
  void *replace;
} context;
typedef int (*replace_old)(void *, dirty_registration, int_array *, void *);
typedef int (*replace_new)(void *, new_registration, int_array *, void *);

/* sizeof(TfLiteTensor) in every runtime from 2.7 on */
#define TENSOR_SIZE (sizeof(void *) == 8 ? 112 : 64)

enum { PCI, USB };
struct seen { int type; char kind[12]; char path[128]; };

static int verbosity = 0;

static void say(const char *format, ...) {
  va_list values;
  if (verbosity < 10) return;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
}

static void chatter(int lines) {
  for (int i = 0; i < lines; i++) say("I driver/usb/usb_driver.cc:%d] step %d of this opening", 300 + 7 * i, i);
}

static const char *set(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value ? value : otherwise;
}

static void state_path(char *path, size_t size, const char *name) {
  snprintf(path, size, "%s/%s", getenv("SIM_STATE"), name);
}

/* One more of these, over all processes where SIM_STATE is set; which one it is. */
static long count(const char *name, long *own) {
  char path[512];
  struct stat status;
  if (!getenv("SIM_STATE")) return ++*own;
  state_path(path, sizeof path, name);
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (file < 0 || write(file, ".", 1) != 1 || fstat(file, &status)) abort();
  close(file);
  return (long)status.st_size;
}

static int in_trial(void) { return getenv("CORAL_CLASSIFY_TRIAL") != NULL; }

/* Whether SIM_FAULTS has this fault for the n-th time. */
static int faulty(const char *kind, long n) {
  if (in_trial() != (strncmp(kind, "trial-", 6) == 0)) return 0;
  const char *list = set("SIM_FAULTS", "");
  size_t length = strlen(kind);
  while (*list) {
    if (strncmp(list, kind, length) == 0 && list[length] == ':' &&
        (list[length + 1] == '*' || atol(list + length + 1) == n)) return 1;
    list = strchr(list, ',');
    if (!list) break;
    list++;
  }
  return 0;
}

static void driver_seconds(int seconds) { usleep(1000 * seconds * atoi(set("SIM_SECOND_MS", "0"))); }

static int attached(struct seen *found) {
  char list[512] = "", path[512], *item, *rest = list;
  int n = 0;
  FILE *file = NULL;
  snprintf(list, sizeof list, "%s", set("SIM_DEVICES", "usb"));
  if (getenv("SIM_STATE")) {
    state_path(path, sizeof path, "devices");
    file = fopen(path, "r");
  }
  if (file) {
    if (!fgets(list, sizeof list, file)) list[0] = 0;
    fclose(file);
  }
  while ((item = strsep(&rest, ",\n")) && n < 8) {
    char *at = strchr(item, '@');
    if (!*item) continue;
    if (at) *at++ = 0;
    snprintf(found[n].kind, sizeof found[n].kind, "%s", item);
    found[n].type = strcmp(item, "pci") ? USB : PCI;
    if (at) snprintf(found[n].path, sizeof found[n].path, "%s", at);
    else snprintf(found[n].path, sizeof found[n].path, found[n].type ? "/sys/bus/usb/devices/2-%d" : "/dev/apex_%d", n);
    n++;
  }
  return n;
}

struct device *edgetpu_list_devices(size_t *number) {
  struct seen found[8];
  int n = attached(found), i;
  struct device *list = calloc(n ? n : 1, sizeof *list);
  say("I driver/pci.cc:41] Failed to open /sys/class/apex: No such file or directory");
  for (i = 0; i < n; i++) {
    list[i].type = found[i].type;
    list[i].path = strdup(found[i].path);   /* small, and gone with the process */
  }
  *number = n;
  return list;
}
void edgetpu_free_devices(struct device *list) { free(list); }
const char *edgetpu_version(void) {
  static char text[64];
  snprintf(text, sizeof text, "BuildLabel(simulated) RuntimeVersion(%s)", set("SIM_RUNTIME", "14"));
  return text;
}
void edgetpu_verbosity(int level) { verbosity = level; }

static void die(const char *words) {
  fprintf(stderr, "F driver/usb/usb_driver.cc:%s\n", words);
  abort();
}

#define TIMED_OUT "857] transfer on tag 0 failed. Abort. Deadline exceeded: USB transfer error 2 [LibUsbDataOutCallback]"
#define STALLED "857] transfer on tag 0 failed. Abort. Invalid argument: USB transfer error 4 [LibUsbDataOutCallback]"
#define OVERFLOWN "1148] HandleQueuedBulkIn transfer in failed. Data loss: USB transfer error 6 [LibUsbDataInCallback]"
#define PULLED_OUT "1148] HandleQueuedBulkIn transfer in failed. Not found: USB transfer error 5 [LibUsbDataInCallback]"
#define PULLED_OUT_TOO "844] bulk out for header failed. Abort. Not found: USB transfer error 5 [LibUsbDataOutCallback]"

/* From now on SIM_BACK is what is attached. */
static void unplug(void) {
  char path[512], part[520];
  if (!getenv("SIM_STATE")) return;
  state_path(path, sizeof path, "devices");
  snprintf(part, sizeof part, "%s.part", path);
  FILE *file = fopen(part, "w");
  if (!file || fputs(set("SIM_BACK", ""), file) < 0 || fclose(file) || rename(part, path)) _exit(9);
}

static void *die_idle(void *nothing) {
  (void)nothing;
  usleep(20000);
  die(PULLED_OUT);
  return NULL;
}

static int to_twin = -1, from_twin = -1;
static pid_t twin;

static int all(ssize_t (*move)(int, void *, size_t), int file, uint8_t *bytes, size_t length) {
  while (length) {
    ssize_t n = move(file, bytes, length);
    if (n <= 0) return 1;
    bytes += n;
    length -= n;
  }
  return 0;
}

/* The answer of the plain model, from a Python process of its own: there for as long as a device is open. */
static int ask_twin(uint8_t *in, size_t in_size, uint8_t *out, size_t out_size) {
  if (to_twin < 0) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) return 1;
    if ((twin = fork()) == 0) {
      dup2(down[0], 0);
      dup2(up[1], 1);
      unsetenv("CORAL_CLASSIFY_LIBEDGETPU");
      execl(set("SIM_PYTHON", "python3"), set("SIM_PYTHON", "python3"), set("SIM_TWIN_SCRIPT", ""), set("SIM_TWIN", ""), (char *)NULL);
      _exit(9);
    }
    close(down[0]);
    close(up[1]);
    to_twin = down[1];
    from_twin = up[0];
  }
  return all((ssize_t (*)(int, void *, size_t))write, to_twin, in, in_size) || all(read, from_twin, out, out_size);
}

static void *op_init(void *c, const char *buffer, size_t length) { (void)c; (void)buffer; (void)length; return NULL; }
static void op_free(void *c, void *data) { (void)c; (void)data; }
static int op_prepare(void *c, void *n) { (void)c; (void)n; return 0; }

static int op_invoke(void *c, void *n) {
  static long own = 0;
  context *ctx = c;
  node *op = n;
  tensor *in = (tensor *)(ctx->tensors + (size_t)TENSOR_SIZE * op->inputs->data[0]);
  tensor *out = (tensor *)(ctx->tensors + (size_t)TENSOR_SIZE * op->outputs->data[0]);
  const uint8_t *pixels = in->data;
  int area = in->dims->data[1] * in->dims->data[2], channels = in->dims->data[3], i, k;
  size_t size = 1;
  long invocation = count(in_trial() ? "trial-invokes" : "invokes", &own);
  pthread_t thread;
  if (faulty("abort", invocation)) die(TIMED_OUT);
  if (!in_trial() && atoi(set("SIM_POISON", "0")) == in->dims->data[2]) die(TIMED_OUT);
  if (faulty("stall", invocation)) die(STALLED);
  if (faulty("overflow", invocation)) die(OVERFLOWN);
  if (faulty("segv", invocation) || faulty("trial-segv", invocation)) raise(SIGSEGV);
  if (faulty("unplug", invocation)) {
    unplug();
    die(PULLED_OUT_TOO);
  }
  if (getenv("SIM_STATE")) {                /* pulled out: the file "devices" was emptied meanwhile */
    struct seen left[8];
    if (attached(left) == 0) die(PULLED_OUT_TOO);
  }
  while (faulty("hang", invocation)) usleep(100000);
  if (getenv("SIM_INVOKE_MS")) usleep(1000 * atoi(getenv("SIM_INVOKE_MS")));
  for (i = 0; i < out->dims->size; i++) size *= out->dims->data[i];
  if (getenv("SIM_TWIN")) {
    if (ask_twin(in->data, (size_t)area * channels, out->data, size)) return 1;
  } else {
    for (k = 0; k < channels; k++) {
      long sum = 0;
      for (i = 0; i < area; i++) sum += pixels[i * channels + k];
      ((uint8_t *)out->data)[k] = (uint8_t)((sum + area / 2) / area);
    }
  }
  if (faulty("idle", invocation)) pthread_create(&thread, NULL, die_idle, NULL);
  return 0;
}

/* What the compiler made of a network; the rest is left to the CPU, as by the real driver.  NULL: nothing. */
static int_array *compiled_nodes(context *ctx, const int_array *plan) {
  static int_array *chosen = NULL;      /* the runtime copies it */
  int i;
  chosen = realloc(chosen, sizeof *chosen + plan->size * sizeof(int));
  chosen->size = 0;
  for (i = 0; i < plan->size; i++) {
    node *op;
    old_registration *registered;
    if (ctx->get_node(ctx, plan->data[i], &op, (void **)&registered) == 0 && registered->custom_name
        && strcmp(registered->custom_name, "edgetpu-custom-op") == 0)
      chosen->data[chosen->size++] = plan->data[i];
  }
  return chosen->size ? chosen : NULL;
}

static int claim(void *c, void *self) {
  context *ctx = c;
  int_array *plan;
  old_registration base = {op_init, op_free, op_prepare, op_invoke, NULL, 32, "edgetpu-custom-op", 1};
  if (ctx->get_execution_plan(c, &plan)) return 1;
  if (!(plan = compiled_nodes(ctx, plan))) return 0;
  if (strcmp(set("SIM_ABI", "new"), "2020") == 0) raise(SIGSEGV);
  if (strcmp(set("SIM_ABI", "new"), "old") == 0) {
    dirty_registration dirty;
    memset(&dirty, 0xAB, sizeof dirty);
    memcpy(&dirty, &base, sizeof base);
    return ((replace_old)ctx->replace)(c, dirty, plan, self);
  } else {
    new_registration clean;
    memset(&clean, 0, sizeof clean);
    clean.base = base;
    return ((replace_new)ctx->replace)(c, clean, plan, self);
  }
}

static int opened = 0;
int sim_open_count(void) { return opened; }

/* How each kind of device is refused: the driver's words for it, after how many of its seconds, and how many lines follow. */
static const struct { const char *kind, *words; int seconds, after; } refusals[] = {
  {"busy", "Deadline exceeded: USB error -6 [ClaimInterface]", 2, 4},
  {"denied", "Permission denied: USB error -3 [OpenDevice]", 25, 1},
  {"gone", "Unavailable: USB error -4 [OpenDevice]", 25, 1},
  {"leaves", "Unavailable: USB error -4 [ReadRegister32]", 8, 6},
  {"slow", "Failed precondition: USB Low speed is not supported", 1, 3},
  {"broken", "Unknown: USB error -1 [GetDeviceDescriptor]", 1, 2},
  {"corrupt", "Data loss: ValidateFirmware", 2, 2},
};

static int refuses(const struct seen *device) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
    if (strcmp(device->kind, refusals[i].kind) == 0) {
      driver_seconds(refusals[i].seconds);
      chatter(52);
      say("I driver/driver_wrapper.cc:70] Failed to open device [Apex (USB)] at [%s]: %s", device->path, refusals[i].words);
      chatter(refusals[i].after);
      if (strcmp(device->kind, "leaves") == 0) unplug();
      return 1;
    }
  return 0;
}

static void *nothing(void) {
  say("I tflite/manager.cc:460] Failed allocating Edge TPU device for shared ownership.");
  return NULL;
}

delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *)) {
  static long own = 0;
  struct seen found[8];
  int number = attached(found), position = 0, i, counted;
  const char *wanted = "";
  long opening = count(in_trial() ? "trial-opens" : "opens", &own);
  (void)report;     /* the driver never calls it */
  for (size_t k = 0; k < n; k++)
    if (strcmp(keys[k], "device") == 0) wanted = values[k];
    else if (strcmp(keys[k], "Performance") && strncmp(keys[k], "Usb.", 4)) return NULL;
  while (faulty("open-hang", opening)) usleep(100000);
  if (faulty("open-abort", opening)) die(TIMED_OUT);
  if (faulty("open-fail", opening)) return NULL;
  if (*wanted) {
    int type = strncmp(wanted, "usb", 3) == 0, index = strchr(wanted, ':') ? atoi(strchr(wanted, ':') + 1) : 0;
    for (i = 0, counted = 0, position = -1; i < number; i++)
      if (found[i].type == type && counted++ == index) position = i;
  }
  if (position < 0 || position >= number) {
    say("I tflite/manager.cc:434] No device of type Apex (USB) is available.");
    return nothing();
  }
  if (refuses(&found[position])) return nothing();
  driver_seconds(strcmp(found[position].kind, "dfu") ? 2 : 4);
  chatter(60);
  delegate *made = calloc(1, sizeof *made);
  made->data = made;
  made->prepare = claim;
  made->flags = 1;      /* kTfLiteDelegateFlagsAllowDynamicTensors: else the runtime prepares the custom op itself first */
  if (strcmp(set("SIM_ABI", "new"), "old") == 0) memset(made->later, 0xCD, sizeof made->later);
  opened++;
  return made;
}
void tflite_plugin_destroy_delegate(delegate *made) {
  free(made);
  if (--opened == 0 && to_twin >= 0) {      /* the next one may want another twin, or another engine under it */
    close(to_twin);
    close(from_twin);
    waitpid(twin, NULL, 0);
    to_twin = -1;
  }
}
