"""`torch.compile`: a compiled network trains as the one written down, a supernet may be compiled, nothing warns.

With a backend that compiles no machine code: the default one takes minutes.
"""

from command_line import end_of
from forked import Forked

SCRIPT = """
import torch
from pcdarts.ops.compiling import compile_modules
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.network.network import Network
from pcdarts.supernet.arch import ArchParameters
from pcdarts.methods.darts import first_order_gradients
from pcdarts.methods.method import Batch
from small_task import task_of
from pcdarts.supernet.supernet import Supernet
from torch._dynamo.utils import counters

torch.set_num_threads(1)
genotype = Genotype(
    normal=(("sep_conv_3x3", 0), ("skip_connect", 1)),
    normal_concat=(2,),
    reduce=(("max_pool_3x3", 0), ("dil_conv_5x5", 1)),
    reduce_concat=(2,),
)
draw = torch.Generator().manual_seed(0)
images, labels = torch.randn(4, 3, 12, 12, generator=draw), torch.arange(4)

def made():
    return counters["stats"]["unique_graphs"]

def check(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

def network(amp="off"):
    torch.manual_seed(0)
    return Network(genotype, channels=2, num_cells=2, num_classes=4, amp=amp)

def train(network, images, drop_path):
    network.drop_path = drop_path
    torch.manual_seed(1)
    logits, auxiliary_logits = network(images)
    loss = logits.square().sum() + auxiliary_logits.square().sum()
    return [logits, auxiliary_logits, *torch.autograd.grad(loss, list(network.parameters()))]

written, compiled = network(), network()
compiled.compile_parts(images.shape, backend="aot_eager")
assert list(compiled.state_dict()) == list(written.state_dict())
for drop_path in (0.0, 0.2, 0.4):
    check(train(compiled, images, drop_path), train(written, images, drop_path))
    assert made() == 2, "one for each cell, whatever the drop-path"
check(train(compiled, images[:3], 0.2), train(written, images[:3], 0.2))
check([compiled.eval()(images)], [written.eval()(images)])
assert made() == 2, "another batch and evaluation run as written"
check(compiled.state_dict().values(), written.state_dict().values())
print("network")

def search(kernels, compiles):
    torch.manual_seed(0)
    arch = ArchParameters(CellSpace(3))
    supernet = Supernet(arch.space, channels=4, num_cells=3, num_classes=4, kernels=kernels)
    if compiles:
        compile_modules([supernet], "aot_eager")
    gradients, (loss, logits, _) = first_order_gradients(task_of(supernet), arch, Batch(images, labels))
    outputs = supernet(images, arch.mixture().detach())
    of_weights = torch.autograd.grad(outputs.square().sum(), list(supernet.parameters()))
    return [logits, loss, outputs, *gradients, *of_weights]

for kernels in ("plain", "auto"):
    check(search(kernels, True), search(kernels, False))
print("supernet")
"""


def test_what_can_be_compiled_equals_what_was_written(tmp_path):
    ended = end_of(Forked(tmp_path, code=SCRIPT))
    assert (ended.code, ended.out.split(), ended.err) == (0, ["network", "supernet"], "")
