"""The preset dictionaries of `.pico` headers, one for each format version. Part of the format: never change one.

What headers are made of, the likeliest last. Version 2 goes on where version 1 ends.
"""

from __future__ import annotations

__all__ = ["DICTIONARIES"]

VERSION_1 = (
    rb'{"graph":{"name":"","inputs":["input"],"outputs":["softmax"],"tensors":[["input",32,[1,3,224,224]],["'
    rb'"nodes":[["conv1","conv",["input"],"conv1",{"weight":"conv1.weight","bias":"conv1.bias"},'
    rb'{"strides":[1,1],"pads":[1,1,1,1],"dilations":[1,1],"groups":1}],["relu1","relu",["conv1"],"relu1",{},{}],'
    rb'["pool1","max_pool",["relu1"],"pool1",{},{"kernel":[2,2],"strides":[2,2]}],["average_pool",["identity","add"'
    rb'["flatten","flatten",["fc1","gemm",["fc1.weight",32,[512,512,3,3]],["fc1.bias",32,[1000]]'
    rb'"warnings":["float16","int8","imagenet","cifar-10","validation","train","assumed","published",'
    rb'["coded","dense",8,["coded","bitmask",["coded","csr",["coded","eie_csc4",4,16,["coded","relative4+huffman",'
    rb'["coded","relative8+huffman",["coded","relative5",6,64,"float32","activation_density":{"conv1":0.5,"conv2":'
    rb"\"name\":\"smallest\",\"momentum\":0.9,\"dropout\":{\"ip1\":0.2,\"ip2\":0.1},\"optimizer\":\"sgd\","
    rb"\"density\":{\"conv1\":0.66,\"conv2\":0.12,\"ip1\":0.08,\"ip2\":0.19},\"weight_decay\":0.0001,"
    rb"\"bits\":{\"conv1\":8,\"conv2\":8,\"ip1\":5,\"ip2\":5},\"init\":\"density\",\"network\":\"lenet-5\","
    rb'{"graph":"lenet-5","parameters":[["coded","relative5+huffman",8,256,"float32",["coded","relative5+huffman",5,'
    rb'32,"float32",["raw","float32"],{"graph":"lenet-300-100","parameters":[["coded","relative5+huffman",6,64,'
    rb'"float32",20166,[9000,14000]],["raw","float32"]],"name":"@deep-compression","accuracy":[1.58,"mnist",10000,'
    rb'"test","measured"],"activation_density":{"ip1":0.1,"ip2":0.2,"ip3":0.3},"provenance":{"command":"picojoule '
    rb'compress lenet-300-100 --recipe deep-compression --seed 0","seed":0,"recipe":"deep-compression",'
    rb'"recipe_settings":"{\"name\":\"deep-compression\",\"train\":{\"batch_size\":128,\"optimizer\":\"adam\",'
    rb"\"learning_rate\":0.001,\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"epochs\":20,"
    rb"\"weight_decay\":0.0},\"prune\":{\"batch_size\":128,\"optimizer\":\"adam\",\"learning_rate\":0.001,"
    rb"\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"density\":{\"ip1\":0.08,\"ip2\":0.09,\"ip3\":0.26},"
    rb"\"gradual_epochs\":10,\"retraining_epochs\":20,\"method\":\"magnitude\",\"schedule_density\":\"cubic\","
    rb"\"steps_between_masks\":100,\"weight_decay\":0.0},\"share\":{\"batch_size\":128,\"optimizer\":\"adam\","
    rb"\"learning_rate\":0.0001,\"schedule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"bits\":{\"ip1\":6,\"ip2\":6,"
    rb"\"ip3\":6},\"epochs\":10,\"method\":\"kmeans\",\"init\":\"linear\",\"iterations\":200},\"encode\":{\"format\":"
    rb"\"relative5+huffman\"},\"network\":\"lenet-300-100\",\"dataset\":\"mnist\",\"source\":\"Han, Mao, Dally, "
    rb'Deep Compression, ICLR 2016\"}","picojoule_version":"0.1.0","torch_version":"2.9.1+cpu",'
    rb'"validation_dense_error_pct":1.6,"test_dense_error_pct":1.6,"validation_prune_error_pct":1.6,'
    rb'"validation_share_error_pct":1.6}}'
)

ADDED_IN_2 = (
    rb'{"graph":"lenet-5","parameters":[["coded","context",4,15,"float16",400,[300]],["coded","context",4,12,"f'
    rb'loat16",18,[20]],["coded","context",4,15,"float16",2900,[2500]]],"accuracy":[0.7,"mnist",10000,"test","m'
    rb'easured"],"activation_density":{"conv1":0.19,"conv2":0.8,"ip1":0.9,"ip2":0.1},"provenance":{"command":"p'
    b'icojoule compress lenet-5 --recipe smallest --seed 0","seed":0,"recipe":"smallest","recipe_settings":"{\\'
    rb'"name\":\"smallest\",\"train\":{\"batch_size\":256,\"optimizer\":\"adam\",\"learning_rate\":0.001,\"sche'
    rb"dule\":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"shift_pixels\":1,\"epochs\":8,\"weight_decay\":0.0},"
    b'\\"squeeze\\":{\\"batch_size\\":256,\\"optimizer\\":\\"adam\\",\\"learning_rate\\":0.002,\\"schedule\\":\\"cosine\\",\\'
    rb'"momentum\":0.9,\"dropout\":{},\"shift_pixels\":1,\"budget_bytes\":7200,\"gradual_epochs\":7,\"retrainin'
    rb"g_epochs\":5,\"sharing_epochs\":4,\"sharing_learning_rate\":0.0005,\"levels\":14,\"rate_weight\":0.01,\""
    b'steps_between_masks\\":50,\\"distillation\\":0.9,\\"temperature\\":4.0},\\"encode\\":{\\"format\\":\\"context\\"},\\'
    rb'"network\":\"lenet-5\",\"dataset\":\"mnist\",\"source\":\"\"}","picojoule_version":"0.1.0","torch_versio'
    rb'n":"2.13.0+cpu","validation_dense_error_pct":0.8,"test_dense_error_pct":0.6,"validation_pruned_error_pct'
    rb'":0.9,"validation_final_error_pct":0.9}}{"graph":"lenet-300-100","parameters":[["coded","context",4,15,"'
    rb'float16",3900,[2700]],["coded","context",4,15,"float16",40,[40]],["coded","context",4,9,"float16",2300,['
    rb'1800]],["coded","context",4,10,"float16",30,[30]],["coded","context",3,8,"float16",4,[5]],["coded","cont'
    rb'ext",3,6,"float16",4,[5]],["coded","context",2,3,"float16",3,[5]]],"accuracy":[1.5,"mnist",10000,"test",'
    rb'"measured"],"activation_density":{"ip1":0.19,"ip2":0.4,"ip3":0.7},"provenance":{"command":"picojoule com'
    b'press lenet-300-100 --recipe smallest --seed 0","seed":0,"recipe":"smallest","recipe_settings":"{\\"name\\'
    rb'":\"smallest\",\"train\":{\"batch_size\":256,\"optimizer\":\"adam\",\"learning_rate\":0.001,\"schedule\"'
    rb":\"cosine\",\"momentum\":0.9,\"dropout\":{},\"shift_pixels\":1,\"epochs\":20,\"weight_decay\":0.0},\"squ"
    rb"eeze\":{\"batch_size\":256,\"optimizer\":\"adam\",\"learning_rate\":0.003,\"schedule\":\"cosine\",\"mome"
    rb"ntum\":0.9,\"dropout\":{},\"shift_pixels\":1,\"budget_bytes\":5900,\"gradual_epochs\":60,\"retraining_ep"
    rb"ochs\":60,\"sharing_epochs\":20,\"sharing_learning_rate\":0.0005,\"levels\":14,\"rate_weight\":0.005,\"s"
    rb"teps_between_masks\":50,\"distillation\":0.9,\"temperature\":4.0},\"encode\":{\"format\":\"context\"},\""
    rb'network\":\"lenet-300-100\",\"dataset\":\"mnist\",\"source\":\"\"}","picojoule_version":"0.1.0","torch_v'
    rb'ersion":"2.13.0+cpu","validation_dense_error_pct":1.1,"test_dense_error_pct":1.2,"validation_pruned_erro'
    rb'r_pct":1.5,"validation_final_error_pct":1.5}}'
)

DICTIONARIES = {1: VERSION_1, 2: VERSION_1 + ADDED_IN_2}
