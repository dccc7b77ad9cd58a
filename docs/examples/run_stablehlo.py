"""Runs a program that `evc bundle export --format stablehlo` wrote. Needs jax and flatbuffers, but not evc_jax.

python run_stablehlo.py codegan.stablehlo                          says which arrays the program takes and gives
python run_stablehlo.py codegan.stablehlo inputs.npz outputs.npz   runs it on arrays of these names
"""

import sys

import numpy as np
from jax import export

with open(sys.argv[1], "rb") as file:
    program = export.deserialize(bytearray(file.read()))
if len(sys.argv) > 2:
    with np.load(sys.argv[2]) as inputs:
        np.savez(sys.argv[3], **program.call(**inputs))
else:
    print("platforms:", *program.platforms)
    print("takes:", program.in_tree.unflatten(program.in_avals)[1])
    print("gives:", program.out_tree.unflatten(program.out_avals))
