"""bpf(2) on the seal's programs: by the suite, and by those who should not succeed: bpf.py detach DIRECTORY…"""
import ctypes
import errno
import os
import sys

PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID = 8, 9, 13  # enum bpf_cmd, linux/bpf.h
CGROUP_DEVICE = 6                                       # enum bpf_attach_type
SYS_BPF = {"x86_64": 321, "aarch64": 280}

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, *words):
    """`words` are the first __u32 of union bpf_attr; the whole of it is passed."""
    attr = (ctypes.c_uint32 * 64)(*(word & 0xffffffff for word in words))
    result = libc.syscall(SYS_BPF[os.uname().machine], command, attr, ctypes.sizeof(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def open_program(id_):
    return bpf(PROG_GET_FD_BY_ID, id_)


def attach(directory, program, flags):
    bpf(PROG_ATTACH, open_directory(directory), program, CGROUP_DEVICE, flags)


def detach(directory, program=-1):
    bpf(PROG_DETACH, open_directory(directory), program, CGROUP_DEVICE)


def open_directory(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def outcome(call, *arguments):
    try:
        call(*arguments)
        return "0"
    except OSError as error:
        return errno.errorcode[error.errno]


if __name__ == "__main__":
    kind, target, *rest = sys.argv[1:]
    print(outcome({"detach": detach, "open": lambda id_: open_program(int(id_))}[kind], target, *map(int, rest)))
